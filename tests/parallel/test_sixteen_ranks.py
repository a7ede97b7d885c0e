"""All four axes at once, on sixteen ranks: each holds half of the samples, layers, rows and features of a step."""

import numpy as np

from minipar import optim, parallel
from minipar.parallel.equality import TOLERANCE
from minipar.parallel.equivalence import Training, assert_same_run
from tests.parallel.equivalence.models import ZOO, batches_of, model_of

LAYOUT = parallel.Layout.parse("data=2,pipeline=2,space=2,tensor=2,microbatches=2")


def _model():
    return model_of("CNN", "float64")


def _training():
    loss = ZOO["CNN"].losses["weighted"]
    batches = batches_of("CNN", "float64", "uneven")
    return Training(_model(), batches, loss, lambda p: optim.SGD(p, lr=0.1, momentum=0.9), steps=5)


def _train(comm):
    return _training().in_layout(comm, LAYOUT, bucket=300)


def _have(comm):
    """The shapes of this rank's parameters, and of what has come into its first layer."""
    net, came = LAYOUT.parallelize(_model(), comm).eval(), []
    (stage,) = net.modules()
    stage.register_forward_pre_hook(lambda _, inputs: came.append(tuple(inputs[0].shape)))
    net(batches_of("CNN", "float64", "uneven")[0][0])  # 13 images of 7 rows
    return {name: tuple(p.shape) for name, p in net.named_parameters()}, came


def test_sixteen_ranks_train_as_one_process():
    expected = _training().in_one_process()
    runs = parallel.launch(_train, workers=16, backend="thread")
    for rank, run in enumerate(runs):
        assert_same_run(run, expected, TOLERANCE[np.dtype(np.float64)], f"rank {rank}")


def test_each_rank_has_its_part_of_everything():
    ranks = parallel.launch(_have, workers=16, backend="thread")
    first = [came for held, came in ranks if "0.weight" in held]
    halves = [[(4, 2, 4, 6), (3, 2, 4, 6)], [(4, 2, 3, 6), (3, 2, 3, 6)], [(3, 2, 4, 6)] * 2, [(3, 2, 3, 6)] * 2]
    assert sorted(first) == sorted(2 * halves)
    whole = {name: tuple(p.shape) for name, p in _model().named_parameters()}
    for held, _ in ranks:
        assert len(held) in (6, 4), "of ten parameters"
        assert any(shape[0] == whole[name][0] // 2 for name, shape in held.items()), "half of some layer's features"
    assert {name for held, _ in ranks for name in held} == set(whole)

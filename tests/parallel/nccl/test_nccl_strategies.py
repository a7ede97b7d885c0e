"""Every strategy over NCCL's stand-in: a training run of one process, and what is exchanged goes from GPU to GPU."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import minipar
from minipar import parallel
from minipar.parallel import functional
from minipar.parallel.equivalence import assert_same_run
from tests.cupy_double.test_cupy_mixed_ranks import (
    dense,
    images,
    on_own_device,
    training_of,
    transformer,
    without_norm,
)
from tests.parallel.nccl.threads_with_nccl import launch

MESSAGES = {"send", "recv"}
LAYOUTS: list[tuple[Any, str, set[str]]] = [  # a model, its layout, and the calls of NCCL's that carry its arrays
    (dense, "data=2", {"broadcast", "allReduce"}),
    (dense, "data=3,zero=1", {"broadcast", "allReduce"}),
    (without_norm, "data=2,zero=2,microbatches=3", {"broadcast", "reduce"}),
    (without_norm, "data=2,zero=3", {"broadcast", "reduce"}),
    (without_norm, "data=2,virtual_shards=4", {"broadcast"}),
    (without_norm, "pipeline=2,microbatches=3,schedule=gpipe,recompute=True", MESSAGES),
    (without_norm, "pipeline=2,microbatches=4,schedule=zb-h1", MESSAGES),
    (without_norm, "pipeline=2,microbatches=2,schedule=interleaved,chunks=2", MESSAGES),
    (without_norm, "data=2,pipeline=2,microbatches=2,zero=1", {"broadcast", "allReduce", *MESSAGES}),
    (without_norm, "data=2,tensor=2,zero=2", {"broadcast", "allReduce", "reduce"}),
    (images, "tensor=2", {"broadcast", "allReduce"}),
    (images, "space=2", {"broadcast", "allReduce", *MESSAGES}),
    (images, "data=2,space=2", {"broadcast", "allReduce", *MESSAGES}),
    (transformer, "pipeline=2", MESSAGES),
    (transformer, "tensor=2", {"broadcast", "allReduce"}),
    (transformer, "tensor=2,sequence=True", {"broadcast", "allGather", "reduceScatter"}),
]


@pytest.mark.parametrize(("make", "name", "carried"), LAYOUTS, ids=[name for _, name, _ in LAYOUTS])
def test_training_is_that_of_one_process(make: Any, name: str, carried: set[str], nccl: SimpleNamespace) -> None:
    training, layout = training_of(make), parallel.Layout.parse(name)
    expected = training.in_one_process()
    for debug in (False, True) if name == "data=2" else (False,):
        for rank, run in enumerate(launch(on_own_device, training, layout, size=layout.ranks, debug=debug)):
            assert_same_run(run, expected, 1e-10, f"rank {rank}")
    assert carried <= {called for _, called, _ in nccl.calls}
    assert nccl.mismatches == []


# -- calls with a gradient ---------------------------------------------------------------------------------------------

CALLS = {
    "copy_to_ranks": lambda x, comm: functional.copy_to_ranks(x, comm),
    "copies_to_ranks": lambda x, comm: functional.copies_to_ranks([x, 2 * x], comm)[1],
    "reduce_from_ranks": lambda x, comm: functional.reduce_from_ranks(x, comm),
    "scatter_to_ranks": lambda x, comm: functional.scatter_to_ranks(x, comm, 0),
    "gather_from_ranks": lambda x, comm: functional.gather_from_ranks(x, comm, 1),
    "all_gather": lambda x, comm: functional.all_gather(x[: 2 + comm.rank], comm, 0),  # parts of different sizes
    "reduce_scatter": lambda x, comm: functional.reduce_scatter(x, comm, 0),
    "all_reduce": lambda x, comm: functional.all_reduce(x, comm),
}


def value_and_gradient(comm: Any, name: str) -> tuple[list[Any], list[Any]]:
    values = np.arange(15.0).reshape(5, 3) * (1 if name.startswith(("scatter", "copy")) else comm.rank + 1)
    x = minipar.tensor(values, device=comm.device).requires_grad_()
    y = CALLS[name](x, comm)
    assert y.device == x.device
    (y * y).sum().backward()
    assert x.grad is not None
    assert x.grad.device == x.device
    return y.detach().cpu().numpy().tolist(), x.grad.cpu().numpy().tolist()


@pytest.mark.parametrize("name", CALLS)
def test_calls_with_a_gradient_stay_on_the_gpus(name: str, nccl: SimpleNamespace) -> None:
    """All numbers are whole, and sums exact."""
    expected = parallel.launch(value_and_gradient, name, workers=2, backend="thread")
    nccl.calls.clear()
    assert launch(value_and_gradient, name) == expected
    assert nccl.calls
    assert nccl.mismatches == []

"""Split layers one by one: losses without whole logits, what is refused, what is said, and what stays whole."""

from __future__ import annotations

import numpy as np
import pytest

import minipar
from minipar import nn, parallel
from minipar.nn import functional as F
from minipar.ops.loss import Denominated
from minipar.parallel import timeline
from minipar.parallel.parts import part_of
from minipar.parallel.shares import share
from tests.parallel.tensor_models import MODELS, LanguageModel, subgroup


def on_ranks(fn, *arguments, workers=2):
    return parallel.launch(fn, *arguments, workers=workers, backend="thread")


# ── cross entropy ─────────────────────────────────────────────────────────────────────────────────────────────────────

CLASSES = 7
SETTINGS = {
    "mean": {},
    "sum": {"reduction": "sum"},
    "none": {"reduction": "none"},
    "weight": {"weight": True},
    "ignored": {"ignore_index": 2},
    "smooth": {"label_smoothing": 0.3},
    "all": {"weight": True, "ignore_index": 2, "label_smoothing": 0.1},
    "all, sum": {"weight": True, "ignore_index": 2, "label_smoothing": 0.1, "reduction": "sum"},
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(9, CLASSES), (4, CLASSES, 3), (CLASSES,)])
@pytest.mark.parametrize("setting", SETTINGS)
def test_cross_entropy_of_split_logits(setting, shape, dtype):
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    rng = np.random.default_rng(0)
    logits = (30 * rng.normal(size=shape)).astype(dtype)
    target = rng.integers(0, CLASSES, shape[:1] + shape[2:] if len(shape) > 1 else ())
    options = dict(SETTINGS[setting])
    if "weight" in options:
        options["weight"] = minipar.tensor(rng.random(CLASSES).astype(dtype))
    axis = 1 if len(shape) > 1 else 0

    def run(comm):
        group = subgroup(comm)
        x = minipar.tensor(logits, requires_grad=True)
        if group.size == 1:
            loss = F.cross_entropy(x, minipar.tensor(target), **options)
        else:
            own = [slice(None)] * len(shape)
            own[axis] = share(CLASSES, group.rank, group.size)
            part = x[tuple(own)]
            loss = parallel.vocab_parallel_cross_entropy(part, minipar.tensor(target), group, **options)
        (loss + loss * loss).sum().backward()
        node = loss.node
        told = (float(node.denominator), node.divide) if isinstance(node, Denominated) else None
        return loss.detach().numpy(), x.grad.numpy(), told

    whole, *split = on_ranks(run, workers=4)
    for loss, _, told in split:
        np.testing.assert_allclose(loss, whole[0], rtol=tolerance)
        assert told == whole[2]
    together = sum(gradient for _, gradient, _ in split)  # each has its own classes', and zeros
    np.testing.assert_allclose(together, whole[1], rtol=tolerance, atol=tolerance)


def test_infinities_and_targets_that_do_not_count():
    def run(comm):
        part = minipar.tensor([[0.0, -np.inf], [1.0, 2.0]])[:, comm.rank : comm.rank + 1]
        one = parallel.vocab_parallel_cross_entropy(part, minipar.tensor([0, 1]), comm, reduction="none")
        none = parallel.vocab_parallel_cross_entropy(part, minipar.tensor([-100, -100]), comm)
        return one.tolist(), none.item()

    for losses, nothing in on_ranks(run):
        assert losses == pytest.approx([0.0, 0.3132617])
        assert np.isnan(nothing)


@pytest.mark.parametrize(
    ("target", "options", "error", "says"),
    [
        (minipar.ones(2, 2), {}, NotImplementedError, "class probabilities .*gather_output=True"),
        (minipar.tensor([0, 4]), {}, IndexError, r"in \[0, 4\), got 4"),
        (minipar.tensor([0, 1, 1]), {}, RuntimeError, r"input of shape \(2, 4\)"),
        (minipar.tensor([0, 1]), {"weight": minipar.ones(2)}, RuntimeError, r"weight must have shape \(4,\)"),
        (minipar.tensor([0, 1]), {"reduction": "max"}, ValueError, "reduction must be one of"),
        (minipar.tensor([0, 1]), {"label_smoothing": 2.0}, RuntimeError, r"label_smoothing must lie in \[0, 1\]"),
        (minipar.tensor([0, 1]), {"weight": minipar.ones(4, requires_grad=True)}, NotImplementedError, "weight"),
    ],
)
def test_cross_entropy_refuses(target, options, error, says):
    def run(comm):
        with pytest.raises(error, match=says):
            parallel.vocab_parallel_cross_entropy(minipar.ones(2, 2), target, comm, **options)

    on_ranks(run)


def test_a_language_model_that_never_gathers_its_logits():
    tokens = minipar.tensor(np.random.default_rng(1).integers(0, 11, (3, 6)))

    def run(comm):
        group = subgroup(comm)
        minipar.manual_seed(0)
        net = parallel.tensor_parallel(LanguageModel().double(), group, narrow=1)
        if group.size > 1:
            net.head.gather_output = False
            logits = net(tokens[:, :-1])
            assert logits.shape == (3, 5, len(net.embedding.rows))
            loss = parallel.vocab_parallel_cross_entropy(logits.transpose(1, 2), tokens[:, 1:], group)
        else:
            loss = F.cross_entropy(net(tokens[:, :-1]).transpose(1, 2), tokens[:, 1:])
        loss.backward()
        rows = part_of(net.embedding.weight)
        return (
            loss.item(),
            net.embedding.weight.grad.numpy(),
            rows and list(rows.rows),
            net.head.weight is net.embedding.weight,
        )

    whole, *split = on_ranks(run, workers=4)
    for loss, gradient, rows, tied in split:
        assert tied
        assert loss == pytest.approx(whole[0], rel=1e-12)
        np.testing.assert_allclose(gradient, whole[1][rows], rtol=1e-10, atol=1e-14)


# ── what stays whole, and what is said ────────────────────────────────────────────────────────────────────────────────


class Tied(nn.Module):
    """Two layers that share a weight, which is used in a third way too."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(8, 4)
        self.first = nn.Bilinear(2, 2, 8)
        self.head = nn.Linear(4, 8)
        self.head.weight = self.table.weight
        self.again = nn.ModuleList([self.head])


def whole_models():
    watched = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    watched[1].register_forward_hook(lambda module, x, y: None)
    shared = nn.Linear(4, 4)
    return {
        "used twice": nn.Sequential(shared, nn.ReLU(), shared),
        "tied, and used twice": Tied(),
        "recurrent": nn.LSTM(4, 4),
        "groups": nn.Sequential(nn.Conv2d(4, 4, 3, groups=2), nn.ReLU(), nn.Conv2d(4, 1, 3)),
        "few heads": nn.MultiheadAttention(4, 1),
        "weight norm": nn.utils.weight_norm(nn.Linear(4, 4)),
        "watched": nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 4)), nn.ReLU(), nn.Linear(4, 1)),
    }


@pytest.mark.parametrize("name", whole_models())
def test_what_cannot_be_split_stays_whole(name):
    def run(comm):
        model = whole_models()[name]
        before = [type(module) for module in model.modules()]
        split = parallel.tensor_parallel(model, comm, narrow=1)
        assert split is model
        assert [type(module) for module in model.modules()] == before
        assert all(part_of(p) is None for p in model.parameters())

    on_ranks(run)


def test_a_hook_between_two_layers_sees_whole_features():
    def run(comm):
        seen = []
        net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4))
        net[1].register_forward_hook(lambda module, x, y: seen.append(y.shape))
        parallel.tensor_parallel(net, comm, narrow=1)(minipar.ones(2, 4))
        return seen, type(net[2]).__name__

    assert on_ranks(run) == [([(2, 6)], "ColumnParallelLinear")] * 2


def test_narrow_layers_stay_whole_unless_asked():
    def split(comm, narrow):
        return type(parallel.tensor_parallel(nn.Sequential(nn.Linear(4, 31)), comm, narrow=narrow)[0]) is not nn.Linear

    assert on_ranks(split, 16) == [False, False]
    assert on_ranks(split, 15) == [True, True]


def test_one_rank_changes_nothing():
    def run(comm):
        net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4))
        return parallel.tensor_parallel(net, comm) is net and type(net[0]) is nn.Linear

    assert on_ranks(run, workers=1) == [True]


def test_what_was_done_is_told():
    def run(comm):
        net = nn.Sequential(
            *(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 3), nn.Flatten(), nn.Linear(16, 2)),
            nn.TransformerEncoderLayer(2, 1, 4),
        )
        told = parallel.describe_split(parallel.tensor_parallel(net, comm))
        return told, parallel.describe_split(nn.ReLU())

    told, nothing = on_ranks(run)[0]
    assert [tuple(line.split(None, 1)) for line in told.splitlines()] == [
        ("0", "ColumnParallelConv: output channels 0…2 of 6, 0 collectives forward, 1 backward"),
        ("1", "BatchNorm2d: the same channels"),
        ("3", "RowParallelConv: input channels 0…2 of 6, 1 collective forward, 0 backward"),
        ("5", "Linear: whole"),
        ("6.self_attn", "MultiheadAttention: whole"),
        ("6.self_attn.out_proj", "NonDynamicallyQuantizableLinear: whole"),
        ("6.linear1", "ColumnParallelLinear: output features 0…1 of 4, 0 collectives forward, 1 backward"),
        ("6.linear2", "RowParallelLinear: input features 0…1 of 4, 1 collective forward, 0 backward"),
        ("6.norm1", "LayerNorm: whole"),
        ("6.norm2", "LayerNorm: whole"),
        ("a", "step: 2 collectives forward, 2 backward"),
    ]
    assert nothing == "a step: 0 collectives forward, 0 backward"


PAIRS = {"mlp": 2, "cnn": 1, "grouped cnn": 1, "signal": 0, "volume": 1, "encoder": 2, "translator": 3, "looker": 0}


@pytest.mark.parametrize("name", PAIRS)
def test_every_pair_is_found(name):
    """… so that the runs of test_tensor_parallel.py are about what they seem to be."""

    def run(comm):
        net = parallel.tensor_parallel(MODELS[name][0](), comm, narrow=1)
        rows = (parallel.RowParallelLinear, parallel.RowParallelConv)
        return sum(isinstance(m, rows) and not path.endswith("out_proj") for path, m in net.named_modules())

    assert on_ranks(run, workers=3) == [PAIRS[name]] * 3


TOLD = [("mlp", False), ("cnn", False), ("encoder", False), ("encoder", True), ("encoder, norm first", True)]


@pytest.mark.parametrize(("name", "sequence"), TOLD)
def test_the_collectives_told_are_those_made(name, sequence):
    build, shape = MODELS[name]

    def run(comm):
        net = parallel.tensor_parallel(build(), comm, sequence, narrow=1)
        x = minipar.randn(*shape, requires_grad=True)
        with timeline.record() as forward:
            y = net(x)
        with timeline.record() as backward:
            y.sum().backward()
        return len(forward), len(backward), parallel.describe_split(net)

    for forward, backward, told in on_ranks(run):
        assert told.endswith(f"\na step: {forward} collectives forward, {backward} backward")


def test_parameters_keep_their_names_and_their_objects():
    def run(comm):
        net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4), nn.Embedding(9, 2))
        before = dict(net.named_parameters())
        parallel.tensor_parallel(net, comm)
        after = dict(net.named_parameters())
        assert list(before) == list(after)
        assert all(before[name] is after[name] and after[name].array.flags.c_contiguous for name in before)
        return list(net.state_dict()), [part_of(p) and (part_of(p).dim, part_of(p).total) for p in after.values()]

    names, parts = on_ranks(run)[0]
    assert names == ["0.weight", "0.bias", "2.weight", "2.bias", "3.weight"]
    assert parts == [(0, 6), (0, 6), (1, 6), None, (0, 9)]


REFUSED = {
    "kind": (lambda c: parallel.ColumnParallelLinear(nn.ReLU(), c), TypeError, "must be an nn.Linear, not ReLU"),
    "few": (
        lambda c: parallel.ColumnParallelLinear(nn.Linear(4, 1), c),
        ValueError,
        "1 output features cannot .* whole",
    ),
    "few inputs": (lambda c: parallel.RowParallelLinear(nn.Linear(1, 4), c), ValueError, "1 input features"),
    "few rows": (lambda c: parallel.VocabParallelEmbedding(nn.Embedding(1, 4), c), ValueError, "1 rows"),
    "few heads": (lambda c: parallel.HeadParallelAttention(nn.MultiheadAttention(4, 1), c), ValueError, "1 heads"),
    "few channels": (lambda c: parallel.ColumnParallelConv(nn.Conv2d(1, 1, 1), c), ValueError, "1 output channels"),
    "blocks": (lambda c: parallel.RowParallelConv(nn.Conv2d(4, 1, 1), c, unit=4), ValueError, "in blocks of 4"),
    "no conv": (lambda c: parallel.RowParallelConv(nn.Linear(4, 1), c), TypeError, "Conv2d or Conv3d, not Linear"),
    "groups": (lambda c: parallel.RowParallelConv(nn.Conv2d(4, 4, 1, groups=2), c), NotImplementedError, "groups=2"),
    "split twice": (
        lambda c: parallel.RowParallelLinear(parallel.ColumnParallelLinear(nn.Linear(4, 4), c), c),
        TypeError,
        "split already",
    ),
    "no model": (lambda c: parallel.tensor_parallel(3, c), TypeError, "model must be a Module, not int"),
    "no comm": (lambda c: parallel.tensor_parallel(nn.ReLU(), 2), TypeError, "comm must be a Communicator, not int"),
    "narrow": (lambda c: parallel.tensor_parallel(nn.ReLU(), c, narrow=0), ValueError, "narrow must be 1 or more"),
    "no row": (
        lambda c: parallel.VocabParallelEmbedding(nn.Embedding(4, 4), c)(minipar.tensor([4])),
        IndexError,
        r"\[0, 4\), got 4",
    ),
    "no batch": (
        lambda c: parallel.SequenceParallelEncoderLayer(nn.TransformerEncoderLayer(4, 2, 4), c)(minipar.ones(3, 4)),
        RuntimeError,
        "three axes",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name):
    call, error, says = REFUSED[name]

    def run(comm):
        with pytest.raises(error, match=says):
            call(comm)

    on_ranks(run)


def test_a_weight_that_is_tied_can_be_split_in_one_way_only():
    def run(comm):
        first, second = nn.Linear(4, 4), nn.Linear(4, 4)
        second.weight = first.weight
        parallel.ColumnParallelLinear(first, comm)
        with pytest.raises(ValueError, match="in one way only"):
            parallel.RowParallelLinear(second, comm)

    on_ranks(run)

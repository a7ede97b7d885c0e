"""Bad input to CTC, the Gumbel-softmax, sets of labels, triplets and distances."""

from __future__ import annotations

from tests.refusals.refusal import Refusal

F = "nn.functional"


def ctc(why, error, says, labels=((1, 1), (1, 2)), heard=(5, 5), spoken=(2, 2), shape=(5, 2, 3), **options):
    return Refusal(
        f"{F}.ctc_loss",
        why,
        lambda m: m.nn.functional.ctc_loss(m.zeros(*shape), m.tensor(labels), heard, spoken, **options),
        error,
        says,
    )


SEQUENCES = [
    ctc("one axis", RuntimeError, ("log_probs", r"\(T, N, C\)", r"\(5,\)"), shape=(5,)),
    ctc("a blank that is no class", RuntimeError, ("blank", r"\[0, 3\)", "not 3"), blank=3),
    ctc("more times than there are", RuntimeError, ("input_lengths", r"\[0, 5\]", r"\[5, 6\]"), heard=(5, 6)),
    ctc("a negative length", RuntimeError, ("target_lengths", "0 or more", r"\[-1, 2\]"), spoken=(-1, 2)),
    ctc("a length too few", RuntimeError, ("input_lengths", "2 samples", "not 1"), heard=(5,)),
    ctc("lengths that are no integers", RuntimeError, ("input_lengths", "integers", "float64"), heard=(5.0, 4.0)),
    ctc("longer than targets", RuntimeError, ("targets", r"\(2, 2\)", r"\[2, 3\]"), spoken=(2, 3)),
    ctc("labels missing", RuntimeError, ("targets", r"\(3,\)", r"\[2, 2\]"), labels=(1, 1, 2)),
    ctc("a label that is no class", RuntimeError, ("targets", r"\[0, 3\)"), labels=((1, 3), (1, 2))),
    ctc("floating-point labels", RuntimeError, ("targets", "integers", "float32"), labels=((1.0, 1.0), (1.0, 2.0))),
    ctc("an unknown reduction", ValueError, ("reduction", "'max'"), reduction="max"),
    Refusal(
        f"{F}.ctc_loss",
        "half precision",
        lambda m: m.nn.functional.ctc_loss(m.zeros(5, 1, 3).half(), m.tensor([[1]]), (5,), (1,)),
        RuntimeError,
        ("log_probs", "float32", "float16"),
    ),
    Refusal("nn.CTCLoss", "an unknown reduction", lambda m: m.nn.CTCLoss(reduction="max"), ValueError, ("'max'",)),
]


def label_sets(why, labels, says):
    return Refusal(
        f"{F}.multilabel_margin_loss",
        why,
        lambda m: m.nn.functional.multilabel_margin_loss(m.ones(2, 3), m.tensor(labels)),
        RuntimeError,
        says,
    )


CLASSES = [
    label_sets("another shape", [[0, 1], [0, 1]], ("target", r"\(2, 3\)", r"\(2, 2\)")),
    label_sets("no integers", [[0.0, 1.0, -1.0]] * 2, ("target", "class numbers", "float32")),
    label_sets("a class that is not there", [[0, 3, -1]] * 2, ("target", r"\[0, 3\)")),
    Refusal(
        "nn.MultiLabelMarginLoss", "an old name", lambda m: m.nn.MultiLabelMarginLoss(False), NotImplementedError,
        ("size_average", "reduction=")
    ),
    Refusal(f"{F}.gumbel_softmax", "integers", lambda m: m.nn.functional.gumbel_softmax(m.tensor([1, 2])), RuntimeError,
            ("gumbel_softmax", "floating-point", "int64")),
    Refusal(f"{F}.gumbel_softmax", "an axis that is not there",
            lambda m: m.nn.functional.gumbel_softmax(m.ones(2), dim=1), IndexError, ("dim", "1")),
]  # fmt: skip


def triple(name, why, error, says, last=(2, 3), **options):
    return Refusal(
        f"{F}.{name}",
        why,
        lambda m: getattr(m.nn.functional, name)(m.ones(2, 3), m.zeros(2, 3), m.zeros(*last), **options),
        error,
        says,
    )


DISTANCES = [
    *[
        refusal
        for name in ("triplet_margin_loss", "triplet_margin_with_distance_loss")
        for refusal in (
            triple(name, "another number of axes", RuntimeError, ("equally many axes", r"\(3,\)"), last=(3,)),
            triple(name, "no margin", ValueError, ("margin", "positive", "not 0"), margin=0),
            triple(name, "an unknown reduction", ValueError, ("reduction", "'max'"), reduction="max"),
        )
    ],
    Refusal("nn.TripletMarginLoss", "no margin", lambda m: m.nn.TripletMarginLoss(-1.0), ValueError,
            ("margin", "positive", "-1.0")),
    Refusal("nn.TripletMarginWithDistanceLoss", "no margin",
            lambda m: m.nn.TripletMarginWithDistanceLoss(margin=0.0), ValueError, ("margin", "positive")),
    Refusal("nn.CosineSimilarity", "an axis that is not there",
            lambda m: m.nn.CosineSimilarity(dim=2)(m.ones(2, 3), m.ones(2, 3)), IndexError, ("dim", "2")),
    Refusal("nn.PairwiseDistance", "shapes", lambda m: m.nn.PairwiseDistance()(m.ones(2, 3), m.ones(2, 2)),
            RuntimeError, ("cannot be broadcast",)),
]  # fmt: skip

STRAGGLERS = SEQUENCES + CLASSES + DISTANCES


def refused(of, why, call, error, *says):
    """A wrong call on x, a float tensor of shape (2, 3)."""
    return Refusal(of, why, lambda m: call(m, m.arange(6.0).reshape(2, 3)), error, says)


PARTS = [
    refused("select_scatter", "shape", lambda m, x: m.select_scatter(x, m.ones(2), 0, 1), RuntimeError, "src",
            r"\(3,\)", r"\(2,\)"),
    refused("select_scatter", "index", lambda m, x: m.select_scatter(x, m.ones(3), 0, 2), IndexError, "index 2",
            "dim 0"),
    refused("slice_scatter", "shape", lambda m, x: m.slice_scatter(x, m.ones(2, 3), 1, 1), RuntimeError, "src",
            r"\(2, 2\)"),
    refused("slice_scatter", "step", lambda m, x: m.slice_scatter(x, x, step=0), RuntimeError, "step", "positive"),
    refused("diagonal_scatter", "shape", lambda m, x: m.diagonal_scatter(x, m.ones(3)), RuntimeError, "src",
            r"\(2,\)", r"\(3,\)"),
    refused("index_reduce", "reduction", lambda m, x: m.index_reduce(x, 0, m.tensor([0]), x[:1], "sum"), RuntimeError,
            "reduce", "'sum'", "prod"),
    refused("index_reduce", "shape", lambda m, x: m.index_reduce(x, 0, m.tensor([0]), x, "prod"), RuntimeError,
            "source", r"\(1, 3\)", r"\(2, 3\)"),
    refused("put", "too few", lambda m, x: m.put(x, m.tensor([0, 1]), m.ones(3)), RuntimeError, "source", "2 of index"),
    refused("put", "index", lambda m, x: m.put(x, m.tensor([6]), m.ones(1)), IndexError, "index 6", "5"),
    refused("as_strided", "memory", lambda m, x: m.as_strided(x, (2, 2), (4, 2)), RuntimeError, "stride",
            "element 6", "memory of 6"),
    refused("as_strided", "lengths", lambda m, x: m.as_strided(x, (2, 2), (1,)), RuntimeError, "equally long"),
    refused("unsafe_split", "size", lambda m, x: m.unsafe_split(x, -1), RuntimeError, "split", "-1"),
    refused("unsafe_split_with_sizes", "sum", lambda m, x: m.unsafe_split_with_sizes(x, (1, 2)), RuntimeError, "split"),
    refused("unsafe_chunk", "none", lambda m, x: m.unsafe_chunk(x, 0), RuntimeError, "chunks", "0"),
    refused("Tensor.sum_to_size", "size", lambda m, x: x.sum_to_size(2, 2), RuntimeError, "sum_to_size", r"\(2, 2\)",
            r"\(2, 3\)"),
    refused("unravel_index", "number", lambda m, x: m.unravel_index(m.tensor([6]), (2, 3)), ValueError, "indices",
            "6 elements"),
    refused("unravel_index", "dtype", lambda m, x: m.unravel_index(x, (2, 3)), TypeError, "integers", "float32"),
]  # fmt: skip

NUMBERS = [
    refused("polygamma", "order", lambda m, x: m.polygamma(-1, x), RuntimeError, "n must be 0", "-1"),
    refused("mvlgamma", "dimension", lambda m, x: m.mvlgamma(x, 0), RuntimeError, "p must be 1", "0"),
    refused("lgamma", "no tensor", lambda m, x: m.lgamma("x"), TypeError, "input must be a tensor", "str"),
    refused("digamma", "no tensor", lambda m, x: m.digamma("x"), TypeError, "input must be a tensor", "str"),
    refused("frexp", "integers", lambda m, x: m.frexp(x.long()), NotImplementedError, "frexp", "int64"),
    refused("nextafter", "integers", lambda m, x: m.nextafter(x.long(), x.long()), NotImplementedError, "int64"),
    refused("cdist", "rows", lambda m, x: m.cdist(x, x.mT), RuntimeError, "x1", "x2", r"\(3, 2\)"),
    refused("cdist", "p", lambda m, x: m.cdist(x, x, -1.0), RuntimeError, "p must be 0", "-1"),
    refused("cdist", "mode", lambda m, x: m.cdist(x, x, compute_mode="mm"), ValueError, "compute_mode", "'mm'"),
    refused("nn.functional.pdist", "axes", lambda m, x: m.nn.functional.pdist(x[0]), RuntimeError, r"\(N, M\)",
            r"\(3,\)"),
    refused("cov", "axes", lambda m, x: m.cov(x[None]), RuntimeError, "two axes", r"\(1, 2, 3\)"),
    refused("cov", "fweights", lambda m, x: m.cov(x, fweights=m.ones(3)), RuntimeError, "fweights", "integers"),
    refused("cov", "aweights", lambda m, x: m.cov(x, aweights=m.ones(2)), RuntimeError, "aweights", r"\(3,\)"),
    refused("cov", "no weight", lambda m, x: m.cov(x, aweights=m.zeros(3)), RuntimeError, "sum to zero"),
    refused("corrcoef", "axes", lambda m, x: m.corrcoef(x[None]), RuntimeError, "two axes", r"\(1, 2, 3\)"),
    refused("trapezoid", "x and dx", lambda m, x: m.trapezoid(x, x, dx=1.0), TypeError, "x and dx"),
    refused("trapz", "samples", lambda m, x: m.trapz(x, m.ones(2)), RuntimeError, "x of shape", "3 samples"),
    refused("cumulative_trapezoid", "samples", lambda m, x: m.cumulative_trapezoid(x, m.ones(4)), RuntimeError,
            "3 samples"),
    refused("vander", "axes", lambda m, x: m.vander(x), RuntimeError, "one axis", r"\(2, 3\)"),
    refused("vander", "columns", lambda m, x: m.vander(x[0], -1), RuntimeError, "N must be 0", "-1"),
    refused("vdot", "axes", lambda m, x: m.vdot(x, x), RuntimeError, "dot"),
]  # fmt: skip
STRAGGLERS += PARTS + NUMBERS

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

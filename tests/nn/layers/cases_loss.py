"""Rows of the table: losses as layers."""

from __future__ import annotations

import numpy as np

from tests.nn.layers.layer import Layer, normal

PAIR = normal((3, 4), (3, 4))
WEIGHT = [0.5, 2.0, 1.0, 1.5]


STRAIGHT = ("MultiMarginLoss", "MultiLabelMarginLoss")  # PyTorch has no second derivative of these


def probabilities(draw: np.random.Generator):
    return draw.uniform(0.1, 0.9, (3, 4)), draw.uniform(0.1, 0.9, (3, 4))


def classes(draw: np.random.Generator):
    return draw.standard_normal((3, 4)), draw.integers(0, 4, 3)


def signs(inputs: int, shape=(3, 4), target=(3, 4)):
    """`inputs` tensors of numbers and a target of 1 and −1, integers: it gets no gradient."""

    def draw_them(draw: np.random.Generator):
        return (*[draw.standard_normal(shape) for _ in range(inputs)], draw.choice([-1, 1], target))

    return draw_them


def variances(draw: np.random.Generator):
    return draw.standard_normal((3, 4)), draw.standard_normal((3, 4)), draw.uniform(0.5, 2.0, (3, 4))


def rows(name, draw, weighted=(), **options):
    """One row a reduction; the options named in `weighted` are lists that become float tensors."""

    def make(nn, how):
        like = nn.Linear(1, 1).bias.detach()
        tensors = {k: _weights(like, v) if k in weighted else v for k, v in options.items()}
        return getattr(nn, name)(reduction=how, **tensors)

    label = " ".join([name, *options])
    return [
        Layer(f"{label} {how}", lambda nn, how=how: make(nn, how), draw, second=name not in STRAIGHT)
        for how in ("mean", "sum", "none")
    ]


def _weights(like, numbers):
    """A float32 tensor of the library that `like` is from."""
    found = like.expand(len(numbers)).clone()
    for i, number in enumerate(numbers):
        found[i] = number
    return found


def sequences(draw: np.random.Generator):
    """Logits (5, 2, 4), targets (2, 2) and both lengths."""
    labels = draw.integers(1, 4, (2, 2))
    return draw.standard_normal((5, 2, 4)), labels - 1, draw.integers(4, 6, 2), draw.integers(0, 3, 2)


def label_sets(draw: np.random.Generator):
    ended = np.where(draw.random((3, 4)) < 0.3, -1, draw.integers(0, 4, (3, 4)))
    return draw.standard_normal((3, 4)), ended


CTC = [
    Layer(
        f"CTCLoss {how} zero_infinity={zero}",
        lambda nn, how=how, zero=zero: nn.CTCLoss(blank=3, reduction=how, zero_infinity=zero),
        sequences,
        lambda layer, logits, *others: layer(logits.log_softmax(-1), *others),
        second=False,
    )
    for how in ("mean", "sum", "none")
    for zero in (False, True)
]

TRIPLES = normal((3, 4), (3, 4), (3, 4))
LOSSES = [
    *CTC,
    *rows("MultiLabelMarginLoss", label_sets),
    *rows("TripletMarginLoss", TRIPLES, margin=3.0, p=3, swap=True),
    *rows("TripletMarginWithDistanceLoss", TRIPLES, margin=3.0),
    *rows("MSELoss", PAIR),
    *rows("L1Loss", PAIR),
    *rows("SmoothL1Loss", PAIR, beta=0.5),
    *rows("HuberLoss", PAIR, delta=0.5),
    *rows("PoissonNLLLoss", PAIR),
    *rows("GaussianNLLLoss", variances, full=True),
    *rows("BCELoss", probabilities),
    *rows("BCELoss", probabilities, ("weight",), weight=WEIGHT),
    *rows("BCEWithLogitsLoss", probabilities),
    *rows("BCEWithLogitsLoss", probabilities, ("weight", "pos_weight"), weight=WEIGHT, pos_weight=WEIGHT),
    *rows("KLDivLoss", probabilities, log_target=True)[1:],
    *rows("KLDivLoss", probabilities)[1:],
    *rows("CrossEntropyLoss", classes),
    *rows("CrossEntropyLoss", classes, ("weight",), weight=WEIGHT, ignore_index=1, label_smoothing=0.1),
    *rows("CrossEntropyLoss", probabilities, label_smoothing=0.1),
    *rows("NLLLoss", classes, ("weight",), weight=WEIGHT, ignore_index=1),
    *rows("MultiMarginLoss", classes, ("weight",), weight=WEIGHT, p=2, margin=0.7),
    *rows("MultiLabelSoftMarginLoss", probabilities, ("weight",), weight=WEIGHT),
    *rows("HingeEmbeddingLoss", signs(1), margin=0.7),
    *rows("SoftMarginLoss", signs(1)),
    *rows("MarginRankingLoss", signs(2), margin=0.3),
    *rows("CosineEmbeddingLoss", signs(2, target=(3,)), margin=-0.5),
]

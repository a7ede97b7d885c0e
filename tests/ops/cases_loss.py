"""Rows of the table: losses. Targets that PyTorch gives no gradient are constants here."""

from __future__ import annotations

import warnings

import numpy as np

from minipar.ops.loss import Reduced
from tests.ops.case import Case, Shape, among, apart, positive, real

EQUAL = among(((2, 4), (2, 4)), ((), ()), ((0, 2), (0, 2)), ((3,), (3,)))
HOW = ("mean", "sum", "none")
WEIGHTS = np.array([[0.5, 2.0, 1.0]] * 3)
SIGNS = np.array([[1.0, -1.0, 1.0]] * 3)
TARGETS = np.array([[0.31, -1.23, 0.77], [2.41, 0.13, -0.57], [-0.91, 1.69, 0.07]])


def probability(draw: np.random.Generator, shape: Shape, which: int) -> np.ndarray:
    """Numbers of [0.1, 0.9)."""
    return np.asarray(draw.uniform(0.1, 0.9, shape))


def loss(name, *args, **kwargs):
    """The loss of tensors, with constants: arrays among the arguments become tensors."""

    def run(m, *tensors):
        dtype = tensors[0].dtype

        def constant(x):
            if not isinstance(x, np.ndarray):
                return x
            return m.tensor(x, dtype=dtype if x.dtype.kind == "f" else m.int64)

        given = [constant(x) for x in args], {k: constant(x) for k, x in kwargs.items()}
        return getattr(m.nn.functional, name)(*tensors, *given[0], **given[1])

    return run


def quietly(run):
    """PyTorch warns about some of its functions: the mean of kl_div, index_reduce."""

    def silenced(m, *tensors):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return run(m, *tensors)

    return silenced


def reductions(name, example, shapes=None, values=real, **kwargs):
    return [Case(f"{name} {how}", loss(name, reduction=how, **kwargs), example, shapes, values) for how in HOW]


SQUARE = ((3, 3), (3, 3))
PAIRED = [
    *[Case(f"{name} from constants {how}", loss(name, TARGETS, reduction=how)) for how in ("mean", "sum")
      for name in ("l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits")],
    Case("smooth_l1_loss from constants beta", loss("smooth_l1_loss", TARGETS, beta=0.3)),
    Case("huber_loss from constants delta", loss("huber_loss", TARGETS, delta=0.3)),
]  # fmt: skip
REGRESSION = [
    *reductions("mse_loss", SQUARE, EQUAL),
    Case("mse_loss weight", loss("mse_loss", weight=WEIGHTS), SQUARE),
    Case("mse_loss weight sum", loss("mse_loss", weight=WEIGHTS, reduction="sum"), SQUARE),
    Case("mse_loss frozen target", loss("mse_loss", SIGNS)),
    *reductions("l1_loss", SQUARE, EQUAL, apart),
    Case("l1_loss weight", loss("l1_loss", weight=WEIGHTS), SQUARE, values=apart),
    *reductions("smooth_l1_loss", SQUARE, EQUAL, apart),
    Case("smooth_l1_loss beta", loss("smooth_l1_loss", beta=0.3), SQUARE, values=apart),
    Case("smooth_l1_loss beta 0", loss("smooth_l1_loss", beta=0.0), SQUARE, values=apart),
    *reductions("huber_loss", SQUARE, EQUAL, apart),
    Case("huber_loss delta", loss("huber_loss", delta=0.3), SQUARE, values=apart),
    Case("huber_loss weight", loss("huber_loss", weight=WEIGHTS), SQUARE, values=apart),
    *reductions("poisson_nll_loss", SQUARE, EQUAL),
    Case("poisson_nll_loss full", loss("poisson_nll_loss", full=True), SQUARE, values=(real, positive)),
    Case("poisson_nll_loss rate", loss("poisson_nll_loss", log_input=False, eps=0.01), SQUARE, values=positive),
    *reductions("gaussian_nll_loss", (*SQUARE, (3, 3)), values=(real, real, positive)),
    Case("gaussian_nll_loss one variance a row", loss("gaussian_nll_loss"), (*SQUARE, (3,)),
         values=(real, real, positive)),
    Case("gaussian_nll_loss one variance a row, kept", loss("gaussian_nll_loss", full=True), (*SQUARE, (3, 1)),
         values=(real, real, positive)),
    Case("gaussian_nll_loss number", loss("gaussian_nll_loss", 2.0), SQUARE),
]  # fmt: skip

PROBABILITY = [
    *reductions("binary_cross_entropy", SQUARE, EQUAL, probability),
    Case("binary_cross_entropy weight", loss("binary_cross_entropy", weight=WEIGHTS[0]), SQUARE, values=probability),
    Case("binary_cross_entropy frozen target", loss("binary_cross_entropy", (SIGNS + 1) / 2), values=probability),
    *reductions("binary_cross_entropy_with_logits", SQUARE, EQUAL, (real, probability)),
    Case("binary_cross_entropy_with_logits weights",
         loss("binary_cross_entropy_with_logits", weight=WEIGHTS, pos_weight=WEIGHTS[0]), SQUARE,
         values=(real, probability)),
    *[
        Case(f"kl_div {how}", loss("kl_div", reduction=how), SQUARE, EQUAL, (real, positive),
             quietly(loss("kl_div", reduction=how)))
        for how in HOW
    ],
    Case("kl_div batchmean", loss("kl_div", reduction="batchmean"), SQUARE, EQUAL.filter(lambda s: 0 not in s[0]),
         (real, positive)),
    Case("kl_div log_target", loss("kl_div", log_target=True), SQUARE,
         theirs=quietly(loss("kl_div", log_target=True))),
    Case("kl_div of zeros", loss("kl_div", (SIGNS + 1) / 2, reduction="sum")),
]  # fmt: skip

PAIRS = among(((3,), (3,), (3,)), ((2, 3), (2, 3), (2, 3)), ((2, 3), (1, 3), (2, 1)))
COLUMN = np.array([1, -1, 1])
MARGIN = [
    *reductions("margin_ranking_loss", ((3, 3), (3, 3), (3, 3)), PAIRS, apart, margin=0.26),
    *[
        Case(f"hinge_embedding_loss {how}",
             loss("hinge_embedding_loss", SIGNS.astype(int), margin=0.52, reduction=how), values=apart)
        for how in HOW
    ],
    *[Case(f"soft_margin_loss {how}", loss("soft_margin_loss", SIGNS, reduction=how)) for how in HOW],
    *[
        Case(f"multi_margin_loss {how}", loss("multi_margin_loss", np.array([0, 2, 2]), reduction=how), values=apart)
        for how in HOW
    ],
    Case("multi_margin_loss squared", loss("multi_margin_loss", np.array([0, 2, 2]), p=2, margin=0.3), values=apart),
    Case("multi_margin_loss weight", loss("multi_margin_loss", np.array([0, 2, 2]), weight=WEIGHTS[0]), values=apart),
    Case("multi_margin_loss one", loss("multi_margin_loss", np.array(1)), ((4,),), values=apart),
    *reductions("multilabel_soft_margin_loss", SQUARE, values=(real, probability)),
    Case("multilabel_soft_margin_loss weight", loss("multilabel_soft_margin_loss", weight=WEIGHTS[0]), SQUARE),
    *[
        Case(f"cosine_embedding_loss {how}", loss("cosine_embedding_loss", COLUMN, reduction=how, margin=-0.9), SQUARE,
             values=apart)
        for how in HOW
    ],
    Case("cosine_embedding_loss one", loss("cosine_embedding_loss", np.array(1)), ((3,), (3,))),
]  # fmt: skip

TRIPLE = ((3, 3), (3, 3), (3, 3))
TRIPLET = [
    *reductions("triplet_margin_loss", TRIPLE, margin=3.0),
    *[
        Case(f"triplet_margin_loss p={p}", loss("triplet_margin_loss", p=p, margin=3.0, swap=True), TRIPLE)
        for p in (1, 2, 3.5)
    ],
    Case("triplet_margin_loss one", loss("triplet_margin_loss", margin=3.0, eps=0.1), ((3,), (3,), (3,))),
    *reductions("triplet_margin_with_distance_loss", TRIPLE, margin=3.0),
    Case(
        "triplet_margin_with_distance_loss own",
        loss("triplet_margin_with_distance_loss", distance_function=lambda a, b: ((a - b) ** 2).sum(-1), swap=True),
        TRIPLE,
    ),
]

NUMBERS = np.array([0, 2, 2])
WEIGHT = WEIGHTS[0]
SOFT = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0], [0.1, 0.1, 0.8]])
PLANES = np.array([[[0, 1]], [[2, 1]]])


def by_class(name):
    """What cross_entropy and nll_loss have in common."""
    return [
        *[Case(f"{name} {how}", loss(name, NUMBERS, reduction=how), shapes=among(((3, 4),), ((3, 3),))) for how in HOW],
        Case(f"{name} weight", loss(name, NUMBERS, weight=WEIGHT)),
        Case(f"{name} weight none", loss(name, np.array([0, 2, 1]), weight=WEIGHT, reduction="none")),
        Case(f"{name} ignore_index", loss(name, np.array([0, 1, 2]), ignore_index=1)),
        Case(f"{name} ignore default", loss(name, np.array([0, -100, 2]), reduction="none")),
        Case(f"{name} weight and ignore_index", loss(name, np.array([0, 1, 2]), weight=WEIGHT, ignore_index=0)),
        Case(f"{name} one sample", loss(name, np.array(2)), ((4,),)),
        Case(f"{name} one sample none", loss(name, np.array(2), reduction="none"), ((4,),)),
        Case(f"{name} images", loss(name, PLANES), ((2, 3, 1, 2),)),
        Case(f"{name} images none", loss(name, PLANES, weight=WEIGHT, reduction="none"), ((2, 3, 1, 2),)),
        Case(f"{name} sequences", loss(name, np.array([[0, 1], [2, -100]])), ((2, 3, 2),)),
    ]


CLASSES = [
    *by_class("cross_entropy"),
    *by_class("nll_loss"),
    *[
        Case(f"smoothed cross_entropy {how}", loss("cross_entropy", NUMBERS, label_smoothing=0.1, reduction=how))
        for how in HOW
    ],
    Case("smoothed cross_entropy weight",
         loss("cross_entropy", np.array([0, 1, 2]), weight=WEIGHT, ignore_index=0, label_smoothing=0.3)),
    Case("smoothed cross_entropy images", loss("cross_entropy", PLANES, label_smoothing=0.3), ((2, 3, 1, 2),)),
    *[
        Case(f"soft cross_entropy {how}", loss("cross_entropy", reduction=how), SQUARE,
             among(((2, 3), (2, 3)), ((3,), (3,)), ((2, 3, 2), (2, 3, 2))), (real, probability))
        for how in HOW
    ],
    Case("soft cross_entropy weight", loss("cross_entropy", SOFT, weight=WEIGHT)),
    Case("soft cross_entropy differentiable weight",
         lambda m, x, w: m.nn.functional.cross_entropy(x, m.tensor(SOFT, dtype=x.dtype), w), ((3, 3), (3,))),
    Case("soft cross_entropy smoothed", loss("cross_entropy", label_smoothing=0.2), SQUARE),
]  # fmt: skip

HIDDEN = [
    Case("Reduced", lambda m, x: Reduced(3.0, True)(x) + Reduced(1.0, False)(x * x),
         theirs=lambda m, x: x.sum() / 3 + (x * x).sum()),
]  # fmt: skip

LOSSES = REGRESSION + PAIRED + PROBABILITY + MARGIN + TRIPLET + CLASSES + HIDDEN

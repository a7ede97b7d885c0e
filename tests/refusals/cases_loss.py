"""Bad input to losses and their layers."""

from __future__ import annotations

from tests.refusals.refusal import Refusal

F = "nn.functional"


def pair(m, name, *args, **kwargs):
    return getattr(m.nn.functional, name)(m.ones(2, 3), m.zeros(2, 3), *args, **kwargs)


PAIRED = [
    "mse_loss",
    "l1_loss",
    "smooth_l1_loss",
    "huber_loss",
    "poisson_nll_loss",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "kl_div",
    "hinge_embedding_loss",
    "soft_margin_loss",
    "multilabel_soft_margin_loss",
]
SIZED = {"binary_cross_entropy": ValueError, "binary_cross_entropy_with_logits": ValueError}

REDUCTION = (
    [
        Refusal(
            f"{F}.{name}",
            "an unknown reduction",
            lambda m, name=name: pair(m, name, reduction="max"),
            ValueError,
            ("reduction", "'mean'", "'max'"),
        )
        for name in [*PAIRED, "cross_entropy", "nll_loss"]
    ]
    + [
        Refusal(
            f"{F}.{name}",
            "the old name of reduction",
            lambda m, name=name: pair(m, name, reduce=False),
            NotImplementedError,
            ("reduce", "reduction="),
        )
        for name in [*PAIRED, "cross_entropy", "nll_loss"]
        if name != "huber_loss"
    ]
    + [
        Refusal(
            f"nn.{name}",
            "an unknown reduction",
            lambda m, name=name: getattr(m.nn, name)(reduction="max"),
            ValueError,
            ("reduction", "'mean'", "'max'"),
        )
        for name in (
            "MSELoss",
            "L1Loss",
            "SmoothL1Loss",
            "HuberLoss",
            "PoissonNLLLoss",
            "GaussianNLLLoss",
            "BCELoss",
            "BCEWithLogitsLoss",
            "KLDivLoss",
            "CrossEntropyLoss",
            "NLLLoss",
            "MultiMarginLoss",
            "MultiLabelSoftMarginLoss",
            "HingeEmbeddingLoss",
            "SoftMarginLoss",
            "MarginRankingLoss",
            "CosineEmbeddingLoss",
        )
    ]
)

DTYPES = [
    Refusal(
        f"{F}.{name}",
        "integers",
        lambda m, name=name: getattr(m.nn.functional, name)(m.tensor([[1, 2]]), m.tensor([[1, 2]])),
        RuntimeError,
        (name, "floating-point", "int64"),
    )
    for name in [*PAIRED, "cross_entropy", "nll_loss", "multi_margin_loss"]
]

SHAPES = [
    Refusal(
        f"{F}.{name}",
        "unequal shapes",
        lambda m, name=name: getattr(m.nn.functional, name)(m.ones(2, 3), m.ones(3)),
        SIZED.get(name, RuntimeError),
        (name, r"\(2, 3\)", r"\(3,\)"),
    )
    for name in (
        "mse_loss",
        "l1_loss",
        "smooth_l1_loss",
        "huber_loss",
        "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "multilabel_soft_margin_loss",
    )
] + [
    Refusal(
        f"{F}.{name}",
        "a weight of another shape",
        lambda m, name=name: pair(m, name, weight=m.ones(3)),
        ValueError,
        ("weight", r"\(2, 3\)", r"\(3,\)"),
    )
    for name in ("mse_loss", "l1_loss", "huber_loss")
]

CLASSES = [
    refusal
    for name in ("cross_entropy", "nll_loss")
    for refusal in (
        Refusal(
            f"{F}.{name}",
            "a target of another length",
            lambda m, name=name: getattr(m.nn.functional, name)(m.ones(2, 3), m.tensor([0, 1, 2])),
            RuntimeError,
            (name, r"\(2, 3\)", r"\(3,\)"),
        ),
        Refusal(
            f"{F}.{name}",
            "a 0-d input",
            lambda m, name=name: getattr(m.nn.functional, name)(m.tensor(1.0), m.tensor(0)),
            RuntimeError,
            (name, r"input of shape \(\)"),
        ),
        Refusal(
            f"{F}.{name}",
            "a class that is not there",
            lambda m, name=name: getattr(m.nn.functional, name)(m.ones(2, 3), m.tensor([0, 3])),
            IndexError,
            (name, r"\[0, 3\)", "got 3"),
        ),
        Refusal(
            f"{F}.{name}",
            "a target of bools",
            lambda m, name=name: getattr(m.nn.functional, name)(m.ones(1, 3), m.tensor([True])),
            RuntimeError,
            (name, "int64", "bool"),
        ),
        Refusal(
            f"{F}.{name}",
            "a weight of another length",
            lambda m, name=name: getattr(m.nn.functional, name)(m.ones(1, 3), m.tensor([1]), m.ones(2)),
            RuntimeError,
            (name, "weight", r"\(3,\)", r"\(2,\)"),
        ),
        Refusal(
            f"{F}.{name}",
            "a weight that requires a gradient",
            lambda m, name=name: getattr(m.nn.functional, name)(
                m.ones(1, 3), m.tensor([1]), m.ones(3, requires_grad=True)
            ),
            NotImplementedError,
            (name, "weight.detach"),
        ),
    )
]

OTHERS = [
    Refusal(
        f"{F}.cross_entropy",
        "too much smoothing",
        lambda m: m.nn.functional.cross_entropy(m.ones(1, 3), m.tensor([1]), label_smoothing=1.5),
        RuntimeError,
        ("label_smoothing", "1.5"),
    ),
    Refusal(
        f"{F}.cross_entropy",
        "probabilities of another shape",
        lambda m: m.nn.functional.cross_entropy(m.ones(2, 3), m.ones(2, 2)),
        RuntimeError,
        (r"\(2, 3\)", r"\(2, 2\)"),
    ),
    Refusal(
        f"{F}.cross_entropy",
        "probabilities with ignore_index",
        lambda m: pair(m, "cross_entropy", ignore_index=1),
        RuntimeError,
        ("ignore_index=1", "class numbers"),
    ),
    Refusal(
        f"{F}.mse_loss",
        "a weight that requires a gradient",
        lambda m: pair(m, "mse_loss", weight=m.ones(2, 3, requires_grad=True)),
        NotImplementedError,
        ("weight",),
    ),
    Refusal(
        f"{F}.smooth_l1_loss",
        "a negative beta",
        lambda m: pair(m, "smooth_l1_loss", beta=-1.0),
        RuntimeError,
        ("beta", "-1.0"),
    ),
    Refusal(f"{F}.huber_loss", "delta 0", lambda m: pair(m, "huber_loss", delta=0.0), RuntimeError, ("delta", "0.0")),
    Refusal(
        f"{F}.gaussian_nll_loss",
        "a negative variance",
        lambda m: pair(m, "gaussian_nll_loss", -m.ones(2, 3)),
        ValueError,
        ("var", "negative"),
    ),
    Refusal(
        f"{F}.gaussian_nll_loss",
        "a variance of another shape",
        lambda m: pair(m, "gaussian_nll_loss", m.ones(4)),
        ValueError,
        ("var", r"\(2, 3\)", r"\(4,\)"),
    ),
    Refusal(
        f"{F}.gaussian_nll_loss",
        "an unknown reduction",
        lambda m: pair(m, "gaussian_nll_loss", m.ones(2, 3), reduction="max"),
        ValueError,
        ("reduction", "'max'"),
    ),
    Refusal(
        f"{F}.binary_cross_entropy",
        "logits",
        lambda m: m.nn.functional.binary_cross_entropy(m.ones(2) * 3, m.ones(2)),
        RuntimeError,
        (r"\[0, 1\]", "with_logits"),
    ),
    Refusal(
        f"{F}.multi_margin_loss",
        "p 3",
        lambda m: m.nn.functional.multi_margin_loss(m.ones(1, 3), m.tensor([1]), p=3),
        ValueError,
        ("p must", "3"),
    ),
    Refusal(
        f"{F}.multi_margin_loss",
        "a target of another length",
        lambda m: m.nn.functional.multi_margin_loss(m.ones(1, 3), m.tensor([1, 1])),
        RuntimeError,
        (r"\(1, 3\)", r"\(2,\)"),
    ),
    Refusal(
        f"{F}.multi_margin_loss",
        "a class that is not there",
        lambda m: m.nn.functional.multi_margin_loss(m.ones(1, 3), m.tensor([5])),
        IndexError,
        (r"\[0, 3\)", "5"),
    ),
    Refusal(
        f"{F}.margin_ranking_loss",
        "unequal ranks",
        lambda m: m.nn.functional.margin_ranking_loss(m.ones(2), m.ones(2), m.ones(2, 1)),
        RuntimeError,
        ("target", r"\(2, 1\)"),
    ),
    Refusal(
        f"{F}.cosine_embedding_loss",
        "a target for every element",
        lambda m: m.nn.functional.cosine_embedding_loss(m.ones(2, 3), m.ones(2, 3), m.ones(2, 3)),
        RuntimeError,
        ("target", r"\(2, 3\)"),
    ),
]

LOSSES = REDUCTION + DTYPES + SHAPES + CLASSES + OTHERS

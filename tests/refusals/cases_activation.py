"""Bad input to activations and their layers."""

from __future__ import annotations

from tests.refusals.refusal import Refusal

F = "nn.functional"
FLOATING = [
    "leaky_relu",
    "rrelu",
    "elu",
    "selu",
    "celu",
    "hardsigmoid",
    "hardswish",
    "hardshrink",
    "softshrink",
    "softplus",
    "logsigmoid",
    "gelu",
    "silu",
    "mish",
]
INTEGERS = [
    Refusal(
        f"{F}.{name}",
        "integers",
        lambda m, name=name: getattr(m.nn.functional, name)(m.tensor([1, 2])),
        RuntimeError,
        (name, "floating-point", "int64"),
    )
    for name in [*FLOATING, "glu"]
] + [
    Refusal(
        f"{F}.{name}",
        "integers",
        lambda m, name=name: getattr(m.nn.functional, name)(m.tensor([1]), 0),
        RuntimeError,
        ("softmax", "floating-point", "int64"),
    )
    for name in ("softmax", "log_softmax", "softmin")
]
BOOLS = [
    Refusal(
        f"{F}.{name}",
        "bools",
        lambda m, name=name, args=args: getattr(m.nn.functional, name)(m.tensor([True]), *args),
        RuntimeError,
        (name, "bool"),
    )
    for name, *args in (("relu",), ("relu6",), ("hardtanh",), ("threshold", 1, 2))
]

ACTIVATIONS = [
    *INTEGERS,
    *BOOLS,
    Refusal(
        "prelu",
        "two dtypes",
        lambda m: m.prelu(m.ones(2), m.ones(1).double()),
        RuntimeError,
        ("prelu", "float32", "float64"),
    ),
    Refusal(
        f"{F}.prelu",
        "another number of channels",
        lambda m: m.nn.functional.prelu(m.ones(2, 3), m.ones(2)),
        RuntimeError,
        ("weight", "3 channels", "not 2"),
    ),
    Refusal(
        "nn.PReLU",
        "a weight with two axes",
        lambda m: m.nn.functional.prelu(m.ones(2, 3), m.ones(3, 1)),
        RuntimeError,
        ("weight", r"\(3, 1\)"),
    ),
    Refusal(
        f"{F}.rrelu",
        "bounds the wrong way round",
        lambda m: m.nn.functional.rrelu(m.ones(2), 0.5, 0.1),
        RuntimeError,
        ("lower=0.5", "upper=0.1"),
    ),
    Refusal(
        f"{F}.celu", "alpha 0", lambda m: m.nn.functional.celu(m.ones(2), 0.0), RuntimeError, ("alpha", "not be 0")
    ),
    Refusal(
        f"{F}.hardtanh",
        "bounds the wrong way round",
        lambda m: m.nn.functional.hardtanh(m.ones(2), 1.0, -1.0),
        ValueError,
        ("min_val=1.0", "max_val=-1.0"),
    ),
    Refusal("nn.Hardtanh", "an empty range", lambda m: m.nn.Hardtanh(1.0, 1.0), ValueError, ("min_val", "below")),
    Refusal(
        "nn.Hardtanh", "an old name", lambda m: m.nn.Hardtanh(min_value=1.0), NotImplementedError, ("min_val=1.0",)
    ),
    Refusal(
        f"{F}.softshrink",
        "a negative width",
        lambda m: m.nn.functional.softshrink(m.ones(2), -1.0),
        RuntimeError,
        ("lambd", "-1.0"),
    ),
    Refusal(
        f"{F}.gelu",
        "another approximation",
        lambda m: m.nn.functional.gelu(m.ones(2), approximate="erf"),
        RuntimeError,
        ("approximate", "'tanh'", "'erf'"),
    ),
    Refusal(
        f"{F}.glu", "an odd axis", lambda m: m.nn.functional.glu(m.ones(2, 3)), RuntimeError, ("dim=1", r"\(2, 3\)")
    ),
    Refusal("nn.GLU", "no axis", lambda m: m.nn.GLU()(m.tensor(1.0)), RuntimeError, ("0-d",)),
    Refusal(
        f"{F}.glu", "an axis that is not there", lambda m: m.nn.functional.glu(m.ones(2), 1), IndexError, ("dim", "1")
    ),
    Refusal("softmax", "an axis that is not there", lambda m: m.softmax(m.ones(2), 1), IndexError, ("dim", "1")),
    Refusal(
        "nn.LogSoftmax", "an axis that is not there", lambda m: m.nn.LogSoftmax(2)(m.ones(2)), IndexError, ("dim", "2")
    ),
    Refusal("nn.Softmax2d", "two axes", lambda m: m.nn.Softmax2d()(m.ones(2, 3)), ValueError, (r"\(2, 3\)", "C, H, W")),
    Refusal(
        "nn.ReLU",
        "a leaf that requires grad, in place",
        lambda m: m.nn.ReLU(inplace=True)(m.ones(2, requires_grad=True)),
        RuntimeError,
        ("relu_", "leaf"),
    ),
]

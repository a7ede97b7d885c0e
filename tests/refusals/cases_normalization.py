"""Rows of the table of bad inputs: norms."""

from __future__ import annotations

from tests.refusals.refusal import Refusal


def F(m):
    return m.nn.functional


FUNCTIONS = [
    Refusal("nn.functional.batch_norm", "one axis", lambda m: F(m).batch_norm(m.ones(3), None, None, training=True),
            RuntimeError, ("input", r"\(N, C, …\)", r"\(3,\)")),
    Refusal("nn.functional.batch_norm", "weight of other channels",
            lambda m: F(m).batch_norm(m.ones(2, 3), None, None, m.ones(2), training=True),
            RuntimeError, ("weight", r"\(3,\)", r"\(2,\)")),
    Refusal("nn.functional.batch_norm", "one value a channel",
            lambda m: F(m).batch_norm(m.ones(1, 3), None, None, training=True),
            ValueError, ("more than 1 value per channel", r"\(1, 3\)")),
    Refusal("nn.functional.batch_norm", "no running statistics", lambda m: F(m).batch_norm(m.ones(2, 3), None, None),
            RuntimeError, ("running_mean", "training=False")),
    Refusal("nn.functional.batch_norm", "half of the running statistics",
            lambda m: F(m).batch_norm(m.ones(2, 3), m.ones(3), None), RuntimeError, ("running_var", "both")),
    Refusal("nn.functional.batch_norm", "running statistics of other channels",
            lambda m: F(m).batch_norm(m.ones(2, 3), m.ones(3), m.ones(1)), RuntimeError,
            ("running_var", r"\(3,\)", r"\(1,\)")),
    Refusal("nn.functional.batch_norm", "running statistics that are trained",
            lambda m: F(m).batch_norm(m.ones(2, 3), m.ones(3, requires_grad=True), m.ones(3)), RuntimeError,
            ("running_mean", "detach")),
    Refusal("nn.functional.batch_norm", "integers",
            lambda m: F(m).batch_norm(m.ones(2, 3).long(), None, None, training=True), RuntimeError,
            ("floating-point", "int64")),
    Refusal("nn.functional.instance_norm", "one position", lambda m: F(m).instance_norm(m.ones(2, 3, 1)),
            ValueError, ("more than 1 spatial element", r"\(2, 3, 1\)")),
    Refusal("nn.functional.instance_norm", "no running statistics",
            lambda m: F(m).instance_norm(m.ones(2, 3, 4), use_input_stats=False), RuntimeError, ("running_mean",)),
    Refusal("nn.functional.group_norm", "one axis", lambda m: F(m).group_norm(m.ones(3), 1), RuntimeError,
            ("input", r"\(N, C, …\)", r"\(3,\)")),
    Refusal("nn.functional.group_norm", "indivisible", lambda m: F(m).group_norm(m.ones(2, 3), 2), RuntimeError,
            ("divisible", r"\(2, 3\)", "num_groups=2")),
    Refusal("nn.functional.group_norm", "one value a group", lambda m: F(m).group_norm(m.ones(1, 2), 2), ValueError,
            ("more than 1 value", r"\(1, 2\)")),
    Refusal("nn.functional.layer_norm", "another shape", lambda m: F(m).layer_norm(m.ones(2, 3), (4,)), RuntimeError,
            (r"normalized_shape=\[4\]", r"\(2, 3\)")),
    Refusal("nn.functional.layer_norm", "no axis", lambda m: F(m).layer_norm(m.ones(2, 3), ()), RuntimeError,
            ("normalized_shape", "1 or more")),
    Refusal("nn.functional.layer_norm", "bias of another shape",
            lambda m: F(m).layer_norm(m.ones(2, 3), (3,), bias=m.ones(2)), RuntimeError,
            ("bias", r"\(3,\)", r"\(2,\)")),
    Refusal("nn.functional.layer_norm", "two dtypes",
            lambda m: F(m).layer_norm(m.ones(2, 3), (3,), m.ones(3).double()), RuntimeError, ("float32", "float64")),
    Refusal("nn.functional.rms_norm", "another shape", lambda m: F(m).rms_norm(m.ones(2, 3), (2, 2)), RuntimeError,
            (r"normalized_shape=\[2, 2\]", r"\(2, 3\)")),
    Refusal("nn.functional.local_response_norm", "two axes", lambda m: F(m).local_response_norm(m.ones(2, 3), 2),
            ValueError, ("3 or more axes", r"\(2, 3\)")),
    Refusal("nn.functional.local_response_norm", "size 0", lambda m: F(m).local_response_norm(m.ones(2, 3, 4), 0),
            RuntimeError, ("size", "0")),
]  # fmt: skip

RANKS = {
    "BatchNorm1d": ((2,), r"\(N, C\) or \(N, C, L\)"), "BatchNorm2d": ((2, 3, 4), r"\(N, C, H, W\)"),
    "BatchNorm3d": ((2, 3, 4, 4), r"\(N, C, D, H, W\)"), "InstanceNorm1d": ((3,), r"\(C, L\) or \(N, C, L\)"),
    "InstanceNorm2d": ((3, 4), r"\(C, H, W\)"), "InstanceNorm3d": ((3, 4, 4), r"\(C, D, H, W\)"),
}  # fmt: skip
LAYERS = [
    Refusal(f"nn.{name}", "wrong rank", lambda m, name=name, shape=shape: getattr(m.nn, name)(3)(m.ones(*shape)),
            ValueError, (name, says, str(shape).replace("(", r"\(").replace(")", r"\)")))
    for name, (shape, says) in RANKS.items()
] + [
    Refusal("nn.BatchNorm2d", "other channels", lambda m: m.nn.BatchNorm2d(3)(m.ones(2, 4, 2, 2)), RuntimeError,
            ("weight", r"\(4,\)", r"\(3,\)")),
    Refusal("nn.InstanceNorm2d", "other channels",
            lambda m: m.nn.InstanceNorm2d(3, affine=True)(m.ones(2, 4, 2, 2)), ValueError,
            ("num_features", r"\(3\)", "4")),
    Refusal("nn.GroupNorm", "indivisible", lambda m: m.nn.GroupNorm(2, 3), ValueError, ("num_channels", "divisible")),
    Refusal("nn.LayerNorm", "another shape", lambda m: m.nn.LayerNorm(3)(m.ones(2, 4)), RuntimeError,
            (r"normalized_shape=\[3\]", r"\(2, 4\)")),
    Refusal("nn.RMSNorm", "another shape", lambda m: m.nn.RMSNorm(3)(m.ones(2, 4)), RuntimeError,
            (r"normalized_shape=\[3\]", r"\(2, 4\)")),
    Refusal("nn.LocalResponseNorm", "two axes", lambda m: m.nn.LocalResponseNorm(2)(m.ones(2, 3)), ValueError,
            ("3 or more axes",)),
]  # fmt: skip

NORMALIZATION = FUNCTIONS + LAYERS

"""Bad input to nn.init."""

from __future__ import annotations

from typing import Any

from tests.refusals.refusal import Refusal


def row(of: str, why: str, call: Any, error: type[BaseException], *says: str) -> Refusal:
    return Refusal(f"nn.init.{of}", why, lambda m: call(m, m.nn.init), error, says)


REFUSALS = [
    row("uniform_", "bounds", lambda m, i: i.uniform_(m.ones(2), 2.0, 1.0), RuntimeError, r"a=2\.0", r"b=1\.0"),
    row("uniform_", "dtype", lambda m, i: i.uniform_(m.arange(3)), TypeError, "floating-point", "int64"),
    row("normal_", "std", lambda m, i: i.normal_(m.ones(2), std=-1.0), RuntimeError, "std", "at least 0", r"-1\.0"),
    row("trunc_normal_", "dtype", lambda m, i: i.trunc_normal_(m.arange(3)), TypeError, "floating-point", "int64"),
    row(
        "trunc_normal_",
        "bounds",
        lambda m, i: i.trunc_normal_(m.ones(3), a=2.0, b=1.0),
        RuntimeError,
        r"a=2\.0",
        r"b=1\.0",
    ),
    row("constant_", "no number", lambda m, i: i.constant_(m.ones(2), "a"), TypeError, "a"),
    row("eye_", "rank", lambda m, i: i.eye_(m.ones(2)), ValueError, "2 dimensions", r"\(2,\)"),
    row("dirac_", "rank", lambda m, i: i.dirac_(m.ones(2, 2)), ValueError, "3, 4, 5 dimensions", r"\(2, 2\)"),
    row("dirac_", "groups", lambda m, i: i.dirac_(m.ones(3, 2, 2), 2), ValueError, "groups", "3", "2"),
    row("orthogonal_", "rank", lambda m, i: i.orthogonal_(m.ones(2)), ValueError, "2 or more dimensions", r"\(2,\)"),
    row("sparse_", "rank", lambda m, i: i.sparse_(m.ones(2), 0.5), ValueError, "2 dimensions", r"\(2,\)"),
    row("fan_in_and_out", "rank", lambda m, i: i.fan_in_and_out(m.ones(2)), ValueError, "2 or more", r"\(2,\)"),
    row("xavier_uniform_", "rank", lambda m, i: i.xavier_uniform_(m.ones(2)), ValueError, "2 or more", r"\(2,\)"),
    row("xavier_normal_", "rank", lambda m, i: i.xavier_normal_(m.ones(2)), ValueError, "2 or more", r"\(2,\)"),
    row(
        "kaiming_uniform_",
        "mode",
        lambda m, i: i.kaiming_uniform_(m.ones(2, 2), mode="fan"),
        ValueError,
        "mode",
        "fan_in",
        "'fan'",
    ),
    row("kaiming_normal_", "rank", lambda m, i: i.kaiming_normal_(m.ones(2)), ValueError, "2 or more", r"\(2,\)"),
    row(
        "kaiming_normal_",
        "name",
        lambda m, i: i.kaiming_normal_(m.ones(2, 2), nonlinearity="elu"),
        ValueError,
        "nonlinearity",
        "relu",
        "elu",
    ),
    row(
        "calculate_gain",
        "slope",
        lambda m, i: i.calculate_gain("leaky_relu", "0.1"),
        ValueError,
        "negative_slope",
        r"0\.1",
    ),
    row("calculate_gain", "name", lambda m, i: i.calculate_gain("gelu"), ValueError, "nonlinearity", "selu", "gelu"),
]

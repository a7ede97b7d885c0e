"""Rows of the table of bad inputs: dropout."""

from __future__ import annotations

from tests.refusals.refusal import Refusal

NAMES = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")
LAYERS = ("Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "AlphaDropout", "FeatureAlphaDropout")

DROPOUT = [
    Refusal(f"nn.functional.{name}", "p above 1",
            lambda m, name=name: getattr(m.nn.functional, name)(m.ones(2, 3, 4), 1.5), ValueError,
            ("p has to be between 0 and 1", "1.5"))
    for name in NAMES
] + [
    Refusal(f"nn.{name}", "p below 0", lambda m, name=name: getattr(m.nn, name)(-0.1), ValueError,
            ("p has to be between 0 and 1", "-0.1"))
    for name in LAYERS
] + [
    Refusal("nn.functional.dropout", "integers", lambda m: m.nn.functional.dropout(m.ones(3).long()), RuntimeError,
            ("floating-point", "int64")),
    Refusal("nn.functional.dropout", "an axis too many", lambda m: m.nn.functional.dropout(m.ones(3), batch_dim=1),
            IndexError, ("batch_dim|[Dd]im", "1")),
    Refusal("nn.functional.dropout1d", "four axes", lambda m: m.nn.functional.dropout1d(m.ones(1, 2, 3, 4)),
            RuntimeError, (r"\(N, C, L\) or \(C, L\)", r"\(1, 2, 3, 4\)")),
    Refusal("nn.functional.feature_alpha_dropout", "one axis",
            lambda m: m.nn.functional.feature_alpha_dropout(m.ones(3), training=True), RuntimeError,
            (r"\(N, C, …\)", r"\(3,\)")),
]  # fmt: skip

"""The table of bad inputs: wrong rank, shape, dtype, device, axis, index or argument, for every public function."""

from __future__ import annotations

from tests.refusals.refusal import Refusal

TABLE: list[Refusal] = []

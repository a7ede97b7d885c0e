"""The table: every layer, in every configuration that its code distinguishes."""

from __future__ import annotations

from tests.nn.layers.layer import Layer

TABLE: list[Layer] = []

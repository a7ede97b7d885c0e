"""Attention as a function."""

from __future__ import annotations

from ...ops.attention import scaled_dot_product_attention

__all__ = ["scaled_dot_product_attention"]

"""How far the product of float32 matrices may be rounded: whether tensor cores may be used (PyTorch's names)."""

PRECISIONS = ("highest", "high", "medium")  # float32; TF32: 10 bits of mantissa; bfloat16: 7
_in_use = PRECISIONS[0]


def in_use() -> str:
    """One of PRECISIONS; the first, unless somebody has chosen."""
    return _in_use


def use(precision: str) -> None:
    """From now on, on every device of this process that can. ValueError unless it is one of PRECISIONS."""
    global _in_use
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision!r}")
    _in_use = precision

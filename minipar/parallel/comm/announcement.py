"""A call as other ranks read it and compare it."""

from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

_LENGTH = 256  # bytes of a text on the board


class Announcement(NamedTuple):
    """The text of a call, padded to its place on the board, and 63 bits that stand for it where calls are compared."""

    text: bytes
    digest: int


def announcement(kind: str, array: np.ndarray | None, detail: str) -> Announcement:
    """Of a call of this kind with an array like this one, or with none."""
    return _made(kind, None, (), detail) if array is None else _made(kind, array.dtype, array.shape, detail)


@lru_cache(maxsize=4096)
def _made(kind: str, dtype: np.dtype | None, shape: tuple[int, ...], detail: str) -> Announcement:
    words = (kind, "" if dtype is None else f"{dtype} {shape}", detail)
    text = " ".join(word for word in words if word).encode()
    digest = int.from_bytes(blake2b(text, digest_size=8).digest()) >> 1
    if len(text) > _LENGTH:
        text = text[: _LENGTH - 3] + "…".encode()
    return Announcement(text.ljust(_LENGTH, b"\0"), digest)

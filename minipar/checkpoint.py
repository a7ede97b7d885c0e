"""Checkpoints: tensors in a safetensors file, written whole or not at all.

safetensors is a header of names, dtypes and shapes followed by the numbers: no pickle, so loading a stranger's file runs
none of their code, and PyTorch reads and writes the same files.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .backend import to_numpy
from .tensor import Tensor, wrap


def save(state: Mapping[str, Tensor], path: str | os.PathLike, metadata: Mapping[str, str] | None = None) -> None:
    """Write a state dict (name → tensor) and, if given, a few strings about it.

    The file appears under its name only when it is complete and on disk: a crash, a full disk or Ctrl-C leaves the old
    file as it was. TypeError for what is no tensor, OSError where the folder cannot be written to.
    """
    from safetensors.numpy import save as encode

    arrays = {}
    for name, value in state.items():
        if not isinstance(name, str) or not isinstance(value, (Tensor, np.ndarray)):
            raise TypeError(f"save expects a dict of name → tensor; {name!r} is a {type(value).__name__}")
        array = to_numpy(value.array if isinstance(value, Tensor) else value)
        arrays[name] = np.ascontiguousarray(array).reshape(array.shape)  # safetensors misreads any other layout
    write_whole(path, encode(arrays, metadata=None if metadata is None else dict(metadata)))


def write_whole(path: str | os.PathLike, content: bytes) -> None:
    """Write a file that appears under its name only when it is complete and on disk. OSError where it cannot be."""
    import tempfile

    target = Path(path)
    descriptor, part = tempfile.mkstemp(prefix=target.name + ".", suffix=".part", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(part).chmod(0o666 & ~umask)
        Path(part).replace(target)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def load(path: str | os.PathLike, device: Any = None) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file. FileNotFoundError without it, ValueError if it is something else."""
    from safetensors import SafetensorError
    from safetensors.numpy import load as decode

    content = Path(path).read_bytes()
    try:
        arrays = decode(content)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file: {error}") from None
    tensors = {name: wrap(array.copy()) for name, array in arrays.items()}
    return tensors if device is None else {name: t.to(device) for name, t in tensors.items()}

"""Checkpoints: tensors in a safetensors file, written whole or not at all.

safetensors is a header of names, dtypes and shapes followed by the numbers: no pickle, so loading a stranger's file
runs none of their code, and PyTorch reads and writes the same files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..backend import device, dtypes, to_numpy
from ..tensor import Tensor, wrap
from . import structure


def save(obj: Any, f: str | os.PathLike, metadata: Mapping[str, str] | None = None) -> None:
    """Write a state dict (name → tensor or NumPy array) to the file `f`, and, if given, a few strings about it.

    `obj` may also be a tensor, or dicts, lists and tuples of tensors, numbers, strings and None: the model's state, the
    optimizer's and the epoch in one file. A flat dict of tensors is a plain safetensors file that any program reads.

    The file appears under its name only when it is complete and on disk: a crash, a full disk or Ctrl-C leaves the old
    file as it was. TypeError for anything else in `obj`, ValueError for the name `"__metadata__"`, OSError where the
    folder cannot be written to.

    >>> import os, tempfile
    >>> file = os.path.join(tempfile.mkdtemp(), "run.safetensors")
    >>> model = nn.Linear(2, 1)
    >>> minipar.save({"model": model.state_dict(), "epoch": 3}, file)
    >>> run = minipar.load(file)
    >>> sorted(run["model"]), run["epoch"]
    (['bias', 'weight'], 3)
    """
    from safetensors.numpy import save as encode

    notes = {} if metadata is None else _strings(metadata)
    if not structure.is_flat(obj):
        obj, notes[structure.KEY] = structure.flattened(obj)
    write_whole(f, encode(_arrays(obj), metadata=notes or None))


def write_whole(path: str | os.PathLike, content: bytes) -> None:
    """Write a file that appears under its name only when it is complete and on disk. OSError where it cannot be.

    A file that is replaced keeps its permissions, and a symbolic link stays one: what it points to is replaced.
    """
    from pathlib import Path  # importing it takes a tenth of the time that importing minipar does

    target = Path(path).resolve()
    part = target.with_name(f"{target.name}.{os.getpid()}-{os.urandom(4).hex()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)  # less the umask
    try:
        with os.fdopen(descriptor, "wb") as file:
            if target.exists():
                part.chmod(stat.S_IMODE(target.stat().st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)  # atomic
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def load(f: str | os.PathLike, map_location: Any = None, *, weights_only: bool = True) -> Any:
    """Read what `save` (or any program that writes safetensors) wrote: into host memory, or onto `map_location`.

    FileNotFoundError without the file; ValueError if it is something else, or holds a dtype that minipar lacks
    (bfloat16); NotImplementedError for weights_only=False, and for a `map_location` that is a function or a dict.

    >>> import os, tempfile
    >>> file = os.path.join(tempfile.mkdtemp(), "x.safetensors")
    >>> minipar.save({"x": minipar.ones(2)}, file)
    >>> minipar.load(file)
    {'x': tensor([1., 1.])}
    """
    if not weights_only:
        raise NotImplementedError("load: weights_only=False would unpickle any object; minipar reads tensors only")
    if callable(map_location) or isinstance(map_location, Mapping):
        raise NotImplementedError(
            f"load: map_location must be a device, such as 'cpu' or 'cuda:0', not a {type(map_location).__name__}"
        )
    place = None if map_location is None else device(map_location)
    from safetensors import SafetensorError
    from safetensors.numpy import load as decode

    with open(f, "rb") as file:
        content = file.read()
    try:
        arrays = decode(content)
    except SafetensorError as error:
        raise ValueError(f"{f} is not a safetensors file: {error}") from None
    except KeyError as error:  # so safetensors reports a dtype that NumPy lacks
        raise _dtype_error(f, error.args[0]) from None
    for array in arrays.values():
        if array.dtype not in dtypes.SUPPORTED:
            raise _dtype_error(f, array.dtype.name)
    tensors = {name: wrap(array.copy()) for name, array in arrays.items()}
    if place is not None:
        tensors = {name: t.to(place) for name, t in tensors.items()}
    nested = _metadata(content).get(structure.KEY)
    return tensors if nested is None else structure.assembled(nested, tensors)


def _metadata(content: bytes) -> dict[str, str]:
    """The strings in the header of a safetensors file: its length in eight bytes, then JSON."""
    import json

    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]).get("__metadata__") or {}


def _arrays(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The state as arrays in one piece: safetensors misreads any other layout, and byte order."""
    arrays = {}
    for name, value in state.items():
        if name == "__metadata__":
            raise ValueError("a tensor cannot be saved as '__metadata__': safetensors keeps that name for its own use")
        array = to_numpy(value.array if isinstance(value, Tensor) else value)
        native = array.astype(dtypes.as_dtype(array.dtype.newbyteorder("=")), copy=False)
        arrays[name] = np.ascontiguousarray(native).reshape(array.shape)
    return arrays


def _strings(metadata: Mapping[str, str]) -> dict[str, str]:
    for name, value in metadata.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise TypeError(f"metadata holds strings only; {name!r} is {value!r}: write str(…) of it")
    return dict(metadata)


def _dtype_error(path: str | os.PathLike, name: str) -> ValueError:
    known = ", ".join(d.name for d in dtypes.SUPPORTED)
    return ValueError(f"{path} holds a tensor of dtype {name}; minipar has {known}")

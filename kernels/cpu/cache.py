"""Where compiled kernels are kept between runs: a file for each kernel and signature.

Why not Numba's ``cache=True``: it watches only the file that defines a function, so an edit in an imported module
leaves stale machine code; its folder can be moved only by an environment variable, for the user's own functions too;
and several processes that start together all compile. Here a file's name holds a hash of all that the kernel depends
on (see ``fingerprint``), so a file is never stale and needs no index. A file appears whole (written beside, then
renamed), and a lock a kernel lets one process compile while the others wait for its file. Without a writable folder
everything works, uncached.
"""

import contextlib
import fcntl
import hashlib
import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from .fingerprint import fingerprint


def cache_root() -> Path:
    """$MINIPAR_CACHE, or minipar's place in the user's cache folder. RuntimeError if the user has no home."""
    chosen = os.environ.get("MINIPAR_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minipar"


@cache
def kernel_folder() -> Path | None:
    """The folder of the compiled kernels; None if it cannot be written. Asked once a process."""
    try:
        folder = cache_root() / "cpu"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError):
        return None


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold kernel ``name``'s lock among all processes and threads; no lock where there is no folder or no locking."""
    folder = kernel_folder()
    with contextlib.ExitStack() as stack:
        if folder is not None:
            # A file system without locks costs a second compilation, not the run.
            with contextlib.suppress(OSError):
                lock = stack.enter_context(open(folder / f"{name}.lock", "wb"))
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def entry(name: str, function: Callable[..., Any], options: str, signature: str) -> Path | None:
    """The file of a kernel, whether it exists or not.

    None where there is no folder, or no source to know the kernel by (a function typed at the prompt).
    """
    folder = kernel_folder()
    if folder is None:
        return None
    try:
        key = "\0".join((fingerprint(function), options, signature))
    except OSError:
        return None
    return folder / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:24]}.kernel"


def load(path: Path) -> Any | None:
    """What ``save`` stored, or None. A damaged file counts as none: it is compiled anew and replaced."""
    try:
        return pickle.loads(path.read_bytes())
    except Exception:  # unpickling damaged bytes may raise anything
        return None


def save(path: Path, payload: bytes) -> None:
    """Store a pickle for ``load``, whole or not at all. A full or vanished disk costs the cache entry only."""
    with contextlib.suppress(OSError):
        handle, part = tempfile.mkstemp(dir=path.parent, suffix=".part")
        try:
            with open(handle, "wb") as file:
                file.write(payload)
            Path(part).replace(path)
        except OSError:
            Path(part).unlink()

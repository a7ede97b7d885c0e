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
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from .fingerprint import fingerprint

UNUSED = 60 * 24 * 3600  # seconds; what no process has loaded for so long goes when something new comes

_held: set[str] = set()  # the locks of this process


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
    """Hold kernel ``name``'s lock among all processes; no lock where there is no folder or no locking.

    Its threads have taken Numba's lock before.
    """
    folder = kernel_folder()
    with contextlib.ExitStack() as stack:
        # A factory's kernels share a name, and one may call another: a process would wait for itself for ever.
        if folder is not None and name not in _held:
            # A file system without locks costs a second compilation, not the run.
            with contextlib.suppress(OSError):
                lock = stack.enter_context(open(folder / f"{name}.lock", "wb"))
                fcntl.flock(lock, fcntl.LOCK_EX)
            _held.add(name)
            stack.callback(_held.discard, name)
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
        stored = pickle.loads(path.read_bytes())
        os.utime(path)
        return stored
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
        _forget_the_unused(path.parent)


def _forget_the_unused(folder: Path) -> None:
    """Edited and updated kernels leave files behind that nobody asks for again."""
    for path in folder.iterdir():
        if path.suffix in (".kernel", ".part") and time.time() - path.stat().st_mtime > UNUSED:
            path.unlink(missing_ok=True)

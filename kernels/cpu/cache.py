"""Where compiled kernels are kept between runs: a file for each kernel and signature.

Why not Numba's ``cache=True``: it watches only the file that defines a function, so an edit in an imported module
leaves stale machine code; its folder can be moved only by an environment variable, for the user's own functions too;
and several processes that start together all compile. Here the folder's name is a hash of every source file of this
package, of the Python, Numba, llvmlite and NumPy versions and of the CPU's features, so a file in it is never stale and
needs no index. A file appears whole (written beside, then renamed), and a lock a kernel lets one process compile while
the others wait for its file. Without a writable folder everything works, uncached.
"""

import contextlib
import fcntl
import hashlib
import os
import pickle
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any


def cache_root() -> Path:
    """$MINIPAR_CACHE, or minipar's place in the user's cache folder. RuntimeError if the user has no home."""
    chosen = os.environ.get("MINIPAR_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "minipar"


@cache
def kernel_folder() -> Path | None:
    """The folder for the kernels as they are now, on this CPU; None if it cannot be written. Asked once a process."""
    try:
        folder = cache_root() / "cpu" / _environment_key()
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


def load(name: str, signature: str) -> Any | None:
    """What ``save`` stored, or None. A damaged file counts as none: it is compiled anew and replaced."""
    folder = kernel_folder()
    if folder is None:
        return None
    try:
        return pickle.loads(_path(folder, name, signature).read_bytes())
    except Exception:  # unpickling damaged bytes may raise anything
        return None


def save(name: str, signature: str, payload: bytes) -> None:
    """Store a pickle for ``load``, whole or not at all. A full or vanished disk costs the cache entry only."""
    folder = kernel_folder()
    if folder is None:
        return
    with contextlib.suppress(OSError):
        handle, part = tempfile.mkstemp(dir=folder, suffix=".part")
        try:
            with open(handle, "wb") as file:
                file.write(payload)
            Path(part).replace(_path(folder, name, signature))
        except OSError:
            Path(part).unlink()


def _path(folder: Path, name: str, signature: str) -> Path:
    return folder / f"{name}-{hashlib.sha256(signature.encode()).hexdigest()[:16]}.kernel"


def _environment_key() -> str:
    import llvmlite
    import numba
    import numpy
    from numba.core.registry import cpu_target

    digest = hashlib.sha256()
    for source in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    versions = (sys.version, numba.__version__, llvmlite.__version__, numpy.__version__)
    processor = cpu_target.target_context.codegen().magic_tuple()
    digest.update(repr((versions, processor)).encode())
    return digest.hexdigest()[:24]

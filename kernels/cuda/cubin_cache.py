"""Where compiled kernels are kept between runs: a cubin for each kernel, architecture and set of versions.

A file's name is a hash of all that decides its content (``compiler.identity``), so it is never stale; it appears whole
(written beside, then renamed), and a lock a cubin lets one process compile while the others wait for its file.
"""

import atexit
import contextlib
import fcntl
import hashlib
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from ..cpu.cache import cache_root
from ..cpu.waiting import watched
from . import compiler
from .plan import Kernel


def cubin_file(kernel: Kernel, capability: compiler.Capability) -> Path:
    """The kernel's cubin for one architecture, compiled first (0.3 to 2 s) if it is not there."""
    path = _folder() / cubin_name(kernel, capability)
    if not path.exists():
        with watched.around(), _locked(path):
            if not path.exists():  # while this process waited, another one may have compiled it
                _write(path, compiler.build(kernel, capability).code)
    return path


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of this cubin among all processes. Where files cannot be locked, each compiles for itself.

    The lock's file goes at the end: whoever comes later finds the cubin, or compiles a second time.
    """
    name = path.with_suffix(".lock")
    with open(name, "wb") as lock:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            name.unlink(missing_ok=True)


def _write(path: Path, code: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
        part.write(code)
    Path(part.name).replace(path)


def cubin_name(kernel: Kernel, capability: compiler.Capability) -> str:
    """Readable by a person in front, unique behind."""
    digest = hashlib.sha256(compiler.identity(kernel, capability).encode()).hexdigest()[:24]
    return f"{kernel.name}-{kernel.dtype.name}-sm_{capability[0]}{capability[1]}-{digest}.cubin"


@cache
def _folder() -> Path:
    """In minipar's cache, or, where that cannot be written, a folder that lasts as long as this process."""
    try:
        folder = cache_root() / "cuda"
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError):
        temporary = tempfile.TemporaryDirectory(prefix="minipar-cuda-")
        atexit.register(temporary.cleanup)
        return Path(temporary.name)

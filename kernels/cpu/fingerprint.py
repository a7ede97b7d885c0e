"""What a compiled kernel depends on, as a short text: equal texts, equal machine code.

Numba's own cache looks at one source file only and forgets what that file imports. Here a kernel's fingerprint covers

- its source file and every file of this package that it names, and those that they name (a word that merely looks
  like a file's name costs a compilation, never a wrong kernel);
- the values that it closes over, for a factory makes several kernels of one text, and the files of the functions among
  these, which need not be the factory's;
- the versions of Python, Numba, llvmlite and NumPy, and the CPU with its features.
"""

import hashlib
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import llvmlite
import numba
import numpy as np
from numba.core.registry import cpu_target

PACKAGE = Path(__file__).parent


def fingerprint(function: Any) -> str:
    """24 hexadecimal digits for a plain function. OSError if its source file cannot be read."""
    file = function.__code__.co_filename
    parts = (_environment(), _sources(Path(file)), *_meaning(function, file, set()))
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]


@cache
def _environment() -> str:
    processor = cpu_target.target_context.codegen().magic_tuple()
    return repr((sys.version, numba.__version__, llvmlite.__version__, np.__version__, processor))


@cache
def _sources(start: Path) -> str:
    """A hash over the file and all files of this package that can be reached from it by name."""
    by_name = {path.stem: path for path in PACKAGE.rglob("*.py")}
    files, waiting = {start: _text(start)}, [start]
    while waiting:
        for word in set(re.findall(r"\w+", files[waiting.pop()])) & by_name.keys():
            if by_name[word] not in files:
                files[by_name[word]] = _text(by_name[word])
                waiting.append(by_name[word])
    return hashlib.sha256("\0".join(files[path] for path in sorted(files)).encode()).hexdigest()


@cache
def _text(path: Path) -> str:
    return path.read_text("utf-8")


def _meaning(value: Any, file: str, seen: set[int]) -> Iterator[str]:
    """A function by its name, its source where that is another file, and what it closes over, through Numba's wrappers;
    any other value as it prints."""
    function = getattr(value, "py_func", None) or getattr(value, "_defn", value)  # a dispatcher's, an intrinsic's
    if not hasattr(function, "__code__"):
        yield re.sub(" at 0x[0-9a-f]+", "", repr(value))
    elif id(function) not in seen:
        seen.add(id(function))
        yield function.__qualname__
        if function.__code__.co_filename != file:
            yield _sources(Path(function.__code__.co_filename))
        for cell in function.__closure__ or ():
            yield from _meaning(cell.cell_contents, file, seen)

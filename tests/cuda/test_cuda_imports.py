"""Numba's internals and LLVM are touched by two files alone: only these must change with the compiler below them."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import minipar.kernels.cuda

FOLDER = Path(minipar.kernels.cuda.__file__).parent
INSIDERS = {"compiler.py", "intrinsics.py"}
NUMBERS = {"float16", "float32", "int32", "int64", "uint8", "uint32", "uint64"}
# What any file may take from outside: names that Numba documents for users; and whether libraries can be loaded.
PUBLIC = {
    "numba",
    "numba.cuda",
    "numba.types",
    *(f"numba.{n}" for n in NUMBERS),
    *(f"numba.types.{n}" for n in NUMBERS),
}
ALLOWED = {"detect.py": {"cuda.bindings.nvjitlink", "cuda.pathfinder.load_nvidia_dynamic_lib"}}
# Reached through the module `cuda` without an import.
INNER = {"dispatcher", "cudadrv", "compiler", "codegen", "extending", "core", "target"}


def taken(source: str) -> Iterator[str]:
    """What a file imports from elsewhere, or names in full ("numba.core")."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names):
                yield from (name.name for name in names)
            case ast.ImportFrom(str(module), names, 0):
                yield from (f"{module}.{name.name}" for name in names)
            case ast.Attribute(ast.Name("numba"), name):
                yield f"numba.{name}"
            case ast.Attribute(ast.Name("cuda"), name) if name in INNER:
                yield f"numba.cuda.{name}"


def internals(source: str) -> set[str]:
    return {
        name for name in taken(source) if name.split(".")[0] in ("numba", "numba_cuda", "llvmlite", "cuda")
    } - PUBLIC


def test_only_the_compiler_and_the_intrinsics_touch_numbas_internals():
    found = {file.name: internals(file.read_text()) for file in FOLDER.rglob("*.py") if file.name not in INSIDERS}
    assert len(found) > 30
    assert {name: inner for name, inner in found.items() if inner - ALLOWED.get(name, set())} == {}
    assert {"numba.cuda.dispatcher", "cuda.bindings.nvjitlink"} <= internals((FOLDER / "compiler.py").read_text())
    assert {"llvmlite.ir", "numba.core.config"} <= internals((FOLDER / "intrinsics.py").read_text())


@pytest.mark.parametrize(
    "line",
    [
        "import numba.core.types",
        "from numba.core import config",
        "from numba import core",
        "from numba.cuda.cudadrv import nvvm",
        "from numba.cuda import dispatcher",
        "import numba; numba.core.config.OPT",
        "from numba import cuda; cuda.dispatcher.get_current_device",
        "import llvmlite.ir",
        "from cuda.bindings import nvjitlink",
    ],
)
def test_every_way_to_internals_is_seen(line):
    assert internals(line)
    assert not internals("import numba; from numba import cuda, int32; from numba.types import float16; cuda.jit")

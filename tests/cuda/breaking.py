"""Puts a broken kernel file in the place of the one that is, for the whole package, and looks whether it is noticed.

Inside ``broken`` the file says what the mutant says, and kernels and tables are made anew. What must notice is the
subject's ``right``: a run in the simulator, which raises a KernelError or returns False.
"""

import importlib.util
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
from mutants import Mutant

from minipar.kernels.cuda import channel_sums, cross_entropy, layer_norm
from minipar.kernels.cuda.conv2d import products
from minipar.kernels.cuda.interpreter import KernelError
from minipar.kernels.cuda.recurrent import persistent

PACKAGE = "minipar.kernels.cuda"
# Sizes that suit a GPU, made small: several parts and strips of few numbers, and threads that are soon simulated.
SMALL = {
    cross_entropy: {"THREADS": 64},
    layer_norm: {"STRIP": 9},
    channel_sums: {"STRIP": 25},
    products: {"LEAST_STEPS": 1},
    persistent: {"WARP": 4, "BLOCKS": 2},
}
# What the simulator must say, and not only a wrong result.
MESSAGES = {
    "no barrier": "data race|uninitialised read",
    "a barrier for some threads": "divergent barrier",
    "two tiles in one array": "data race",
}


class Subject(NamedTuple):
    """A file with kernels, whether what is computed with it is right, the ways to break it, and those that change no
    result: the text that goes -> why.
    """

    name: str
    file: ModuleType
    right: Callable[[], bool]
    mutants: list[Mutant]
    explained: Mapping[str, str] = {}


def noticed(subject: Subject, mutant: Mutant, folder: Path) -> bool:
    with broken(subject.file, mutant.source, folder):
        try:
            wrong = not subject.right()
        except KernelError as error:
            return re.search(MESSAGES.get(mutant.kind, ""), str(error)) is not None
        except (ArithmeticError, ValueError):  # the simulator's exp and log refuse what Python's do; a table is uneven
            wrong = True
    return wrong and mutant.kind not in MESSAGES


@contextmanager
def broken(file: ModuleType, source: str, folder: Path) -> Iterator[None]:
    """Inside, ``source`` is what the file says, for all of the package that imports from it."""
    mutant = _load(file, source, folder / "mutant.py")
    with pytest.MonkeyPatch.context() as patches:
        for module, sizes in SMALL.items():
            for name, size in sizes.items():
                patches.setattr(module, name, size)
                if module is file:
                    setattr(mutant, name, size)
        originals = {name: value for name, value in vars(file).items() if not name.startswith("__")}
        for user in _modules():
            for name, value in originals.items():
                if vars(user).get(name) is value:
                    patches.setattr(user, name, vars(mutant)[name])
        for multiplied, way in products.MULTIPLICATIONS.items():
            made = way._replace(product=_anew(way.product), grad_weight=_anew(way.grad_weight))
            patches.setitem(products.MULTIPLICATIONS, multiplied, made)
        _forget()
        yield
    _forget()


def _anew(factory: Callable[..., Any]) -> Callable[..., Any]:
    """The factory that has this one's name in ``products`` now, with the same arguments given."""
    if isinstance(factory, partial):
        return partial(_anew(factory.func), **factory.keywords)
    return vars(products)[factory.__name__]


def _load(module: ModuleType, source: str, path: Path) -> ModuleType:
    """``module`` as it would be with this source, from a file of its own."""
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(f"{module.__name__}_mutant", path)
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def _modules() -> list[ModuleType]:
    return [module for name, module in sys.modules.items() if name.startswith(PACKAGE)]


def _forget() -> None:
    """Kernels and tables are made anew."""
    for module in _modules():
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()

"""Imports that are written now and made when a name is first wanted.

    later = Later(globals())
    with later:
        from .checkpoint import load, save  # loads nothing, binds nothing
    __getattr__ = later.find  # `package.load` imports .checkpoint; from then on it is an attribute like others

Editors and type checkers read the block as it stands. (Python 3.15 has a word for it, `lazy from … import`: PEP 810.)
"""

import builtins
from importlib import import_module
from typing import Any


class Later:
    """Where the names are that `with` this are imported into the package whose `globals()` it is given."""

    def __init__(self, package: dict[str, Any]) -> None:
        self._package = package
        self.places: dict[str, Place] = {}

    def __enter__(self) -> None:
        """Python makes of an import statement a call of `builtins.__import__`; other modules' go where they went."""
        self._import, builtins.__import__ = builtins.__import__, self._note  # type: ignore[assignment]

    def __exit__(self, *_: object) -> None:
        builtins.__import__ = self._import
        for name, bound in list(self._package.items()):
            if isinstance(bound, Place):
                self.places[name] = self._package.pop(name)

    def _note(self, module: str, importer: Any = None, scope: Any = None, names: Any = (), level: int = 0) -> Any:
        if importer is not self._package:
            return self._import(module, importer, scope, names, level)
        return _Places(module)

    def find(self, name: str) -> Any:
        """What `name` is. AttributeError, as of any module, if the package does not have it."""
        if name not in self.places:
            raise AttributeError(f"module {self._package['__name__']!r} has no attribute {name!r}")
        place = self.places[name]
        if place.module:
            found = getattr(import_module(f"{self._package['__name__']}.{place.module}"), place.own_name)
        else:  # from . import nn
            found = import_module(f"{self._package['__name__']}.{place.own_name}")
        self._package[name] = found
        return found


class Place:
    """A module within the package ("" for the package itself), and what the thing is called there."""

    __slots__ = ("module", "own_name")  # a NamedTuple takes longer to make than all that is noted here

    def __init__(self, module: str, own_name: str) -> None:
        self.module, self.own_name = module, own_name


class _Places:
    """Stands for a module of which nothing but names is asked."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Place:
        return Place(self._module, name)

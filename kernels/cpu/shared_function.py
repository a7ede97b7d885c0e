"""``@shared``: a compiled function that kernels call by name, so that none of them contains it.

Numba compiles what a kernel calls together with that kernel: the matrix product, with its loops and packing, would take
ten seconds in each. A shared function takes pointers and numbers, has machine code of its own in the kernels' cache,
and is known to the linker under a name (see ``machine_code``).
"""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import types
from numba.core.ccallback import CFunc
from numba.core.compiler_lock import global_compiler_lock
from numba.core.sigutils import normalize_signature
from numba.extending import intrinsic

from . import cache
from .compile import _KernelCache
from .machine_code import link_waiting, when_needed
from .vectors import BIT, INT64, REAL

_KINDS = {"pointer": "CPointer({})", "int64": "int64", "boolean": "boolean"}


def shared(arguments: str) -> Callable[[Callable[..., None]], Any]:
    """Decorator: compile for float32 and float64 a function of these arguments, of which the first is a pointer.

    Each is one of the words pointer (to numbers of the dtype), int64 and boolean.
    """
    kinds = arguments.split()

    def decorate(function: Callable[..., None]) -> Any:
        name = f"minipar.shared.{function.__module__.rpartition('.')[2]}.{function.__name__}"
        for real in REAL:
            signature = f"void({', '.join(_KINDS[kind].format(real) for kind in kinds)})"
            when_needed(real, partial(_link, f"{name}.{real}", function, signature))
        return _call(name, kinds, inspect.signature(function))

    return decorate


class _Code(CFunc):
    """The machine code of one dtype, with our cache."""

    announce = True

    def __init__(self, name: str, function: Callable[..., None], signature: str) -> None:
        super().__init__(function, normalize_signature(signature), {}, {"nopython": True, "error_model": "numpy"})
        self.name, self.text = name, signature
        self._cache = _KernelCache(self)
        with global_compiler_lock, cache.locked(name):
            self.compile()
        llvm.add_symbol(name, self.address)

    def cache_entry(self, _: str) -> Any:
        return cache.entry(self.name, self.__wrapped__, "shared", self.text)


_linked: list[_Code] = []  # the code lives as long as the process


def _link(name: str, function: Callable[..., None], signature: str) -> None:
    _linked.append(_Code(name, function, signature))


def _call(name: str, kinds: list[str], parameters: inspect.Signature) -> Any:
    def typed(context, *arguments):
        first = arguments[0]
        formal = [first if kind == "pointer" else getattr(types, kind) for kind in kinds]

        def codegen(context, builder, signature, given):
            link_waiting(str(first.dtype))
            number = REAL[str(first.dtype)].as_pointer()
            # A C function takes a bool as a byte; Numba hands it over as a bit.
            of_kind = {"pointer": number, "int64": INT64, "boolean": ir.IntType(8)}
            kind = ir.FunctionType(ir.VoidType(), [of_kind[each] for each in kinds])
            symbol = f"{name}.{first.dtype}"
            function = builder.module.globals.get(symbol) or ir.Function(builder.module, kind, symbol)
            given = [builder.zext(x, ir.IntType(8)) if x.type == BIT else x for x in given]
            builder.call(function, given)
            return context.get_dummy_value()

        return types.void(*formal), codegen

    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    typed.__signature__ = inspect.Signature([context, *parameters.parameters.values()])  # type: ignore[attr-defined]
    return intrinsic(typed)

"""``@shared``: a compiled function that kernels call by name, so that none of them contains it.

Numba compiles what a kernel calls together with that kernel: the matrix product, with its loops and packing, would take
ten seconds in each. A shared function takes pointers and numbers, has machine code of its own in the kernels' cache,
and is known to the linker under a name (see ``machine_code``).
"""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.ccallback import CFunc
from numba.core.sigutils import normalize_signature
from numba.extending import intrinsic

from . import cache
from .compile import KernelCache
from .machine_code import Helper, link
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
            _Shared(f"{name}.{real}", function, signature)
        return _call(name, kinds, inspect.signature(function))

    return decorate


class _Shared(Helper):
    """The function for one dtype."""

    def __init__(self, name: str, function: Callable[..., None], signature: str) -> None:
        super().__init__(name)
        self.function, self.signature = function, signature

    def cache_entry(self, _: Any = None) -> Path | None:
        return cache.entry(self.name, self.function, "shared", self.signature)

    def code(self) -> tuple[Any, int]:
        signature = normalize_signature(self.signature)
        # Said outright what Numba would else take over from the kernel that it happens to be compiling.
        options = {"nopython": True, "error_model": "numpy", "fastmath": False, "forceinline": False}
        compiled = CFunc(self.function, signature, {}, options)
        compiled._cache = KernelCache(self)
        compiled.compile()
        return compiled, compiled.address


def _call(name: str, kinds: list[str], parameters: inspect.Signature) -> Any:
    def typed(context, *arguments):
        first = arguments[0]
        formal = [first if kind == "pointer" else getattr(types, kind) for kind in kinds]

        def codegen(context, builder, signature, given):
            number = REAL[str(first.dtype)].as_pointer()
            # A C function takes a bool as a byte; Numba hands it over as a bit.
            of_kind = {"pointer": number, "int64": INT64, "boolean": ir.IntType(8)}
            kind = ir.FunctionType(ir.VoidType(), [of_kind[each] for each in kinds])
            symbol = f"{name}.{first.dtype}"
            link(symbol)
            function = builder.module.globals.get(symbol) or ir.Function(builder.module, kind, symbol)
            given = [builder.zext(x, ir.IntType(8)) if x.type == BIT else x for x in given]
            builder.call(function, given)
            return context.get_dummy_value()

        return types.void(*formal), codegen

    context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    typed.__signature__ = inspect.Signature([context, *parameters.parameters.values()])  # type: ignore[attr-defined]
    return intrinsic(typed)

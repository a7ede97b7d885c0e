"""A kernel's source as a Python generator function: each CUDA thread is one, and yields where it waits for others."""

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable, Generator
from types import FunctionType, ModuleType
from typing import Any

from numba.core import types
from numba.np.numpy_support import as_dtype

from . import stops
from .collectives import COLLECTIVES
from .device import Device
from .errors import MARK
from .scalars import Scalar

Threads = Callable[..., Generator[stops.Stop, Any, None]]
Lines = dict[tuple[str, int], str]


class Translation:
    """Translates a kernel and the device functions it calls, over the stand-in ``device``; keeps their ``lines``."""

    def __init__(self, device: Device):
        self.device = device
        self.lines: Lines = {}  # (file, line number) -> the text
        self._device_functions: dict[FunctionType, Callable[..., Any]] = {}

    def kernel(self, function: Callable[..., None]) -> Threads:
        """The kernel: a call of it with its arguments starts one thread."""
        return self._translated(getattr(function, "py_func", function), is_kernel=True)

    def _translated(self, function: FunctionType, is_kernel: bool) -> Any:
        tree, file = self._parsed(function)
        outside = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        scope = {name: self._stand_in(outside[name]) for name in used & outside.keys()}
        scope |= {MARK: True, "__builtins__": builtins}
        tree = ast.fix_missing_locations(_Waits(scope, is_kernel).visit(tree))
        exec(compile(tree, file, "exec"), scope)
        return scope[function.__name__]

    def _parsed(self, function: FunctionType) -> tuple[ast.Module, str]:
        try:
            source, first = inspect.getsourcelines(function)
        except OSError as error:
            raise ValueError(
                f"the source of {function.__name__} is needed: define it in a file or in a notebook's cell"
            ) from error
        file = inspect.getsourcefile(function) or function.__code__.co_filename
        self.lines |= {(file, first + i): line.strip() for i, line in enumerate(source)}
        return ast.increment_lineno(ast.parse(textwrap.dedent("".join(source))), first - 1), file

    def _stand_in(self, value: Any) -> Any:
        """What a name of the kernel's surroundings stands for here."""
        if isinstance(value, ModuleType):
            name = value.__name__.removeprefix("numba_cuda.")
            if name in ("numba.cuda", "numba.cuda.simulator"):
                return self.device
            return _Module(value, self._stand_in) if name in ("numba", "numba.core.types") else value
        if isinstance(value, types.Number):
            return Scalar(as_dtype(value))
        if hasattr(value, "twin"):
            return value.twin
        if hasattr(value, "warp_twin"):
            return _Waiting(stops.intrinsic(value.__name__, value.warp_twin))
        if hasattr(value, "py_func"):
            return self._device_function(value.py_func)
        return value

    def _device_function(self, function: FunctionType) -> Callable[..., Any]:
        if function not in self._device_functions:
            self._device_functions[function] = self._translated(function, is_kernel=False)
        return self._device_functions[function]


class _Module:
    """``numba`` or ``numba.types`` inside a kernel."""

    def __init__(self, module: ModuleType, stand_in: Callable[[Any], Any]):
        self._module, self._stand_in = module, stand_in

    def __getattr__(self, name: str) -> Any:
        return self._stand_in(getattr(self._module, name))


class _Waiting:
    """A function whose call is where a thread waits: what it returns is to be yielded."""

    def __init__(self, function: Callable[..., stops.Stop]):
        self.function = function

    def __call__(self, *args: Any) -> stops.Stop:
        return self.function(*args)


class _Waits(ast.NodeTransformer):
    """Makes ``cuda.syncthreads()`` and what a warp does together a yield; drops decorators; names made arrays."""

    def __init__(self, scope: dict[str, Any], is_kernel: bool):
        self.scope, self.is_kernel = scope, is_kernel

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.decorator_list, node.returns = [], None
        if self.is_kernel:  # a yield that is never reached makes every kernel a generator, also one without a barrier
            unreachable = [ast.Return(), ast.Expr(ast.Yield())]
            node.body += [ast.copy_location(statement, node) for statement in unreachable]
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.Assign:
        """``tile = cuda.shared.array(…)``: messages call it tile."""
        self.generic_visit(node)
        target, call = node.targets[0], node.value
        if isinstance(target, ast.Name) and isinstance(call, ast.Call) and self._made_array(call.func):
            call.keywords.append(ast.keyword("name", ast.Constant(target.id)))
        return node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        called = self._value(node.func)
        if isinstance(called, _Waiting) or self._is_of_device(node.func, ("syncthreads", *COLLECTIVES)):
            return ast.copy_location(ast.Yield(node), node)
        if inspect.isgeneratorfunction(called):  # a device function that waits
            return ast.copy_location(ast.YieldFrom(node), node)
        return node

    def _made_array(self, function: ast.expr) -> bool:
        return (
            isinstance(function, ast.Attribute)
            and function.attr == "array"
            and self._is_of_device(function.value, ("shared", "local"))
        )

    def _is_of_device(self, node: ast.expr, names: tuple[str, ...]) -> bool:
        return isinstance(node, ast.Attribute) and node.attr in names and isinstance(self._value(node.value), Device)

    def _value(self, node: ast.expr) -> Any:
        """What a name, or an attribute of a module, stands for; None if only running the kernel could say."""
        if isinstance(node, ast.Name):
            return self.scope.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self._value(node.value)
            return getattr(owner, node.attr, None) if isinstance(owner, (ModuleType, _Module)) else None
        return None

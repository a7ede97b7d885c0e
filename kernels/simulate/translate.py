"""A kernel's source as a Python generator function: each CUDA thread is one, and yields where it waits for others."""

import ast
import builtins
import inspect
import textwrap
from collections.abc import Callable, Generator
from types import FunctionType
from typing import Any

import numpy as np

from . import refused, stops
from .clock import Clock
from .device import Device
from .errors import MARK
from .mathematics import maximum, minimum
from .surroundings import Imported, Module, Surroundings

Threads = Callable[..., Generator[stops.Stop, Any, None]]
Lines = dict[tuple[str, int], str]
DEVICE = "__device__"  # a name that the globals of every translated function hold


class Translation:
    """Translates a kernel and the device functions it calls, over the stand-in ``device``; keeps their ``lines``."""

    def __init__(self, device: Device, clock: Clock):
        self._known = {MARK: clock, DEVICE: device, "__builtins__": builtins, "max": maximum, "min": minimum}
        self.lines: Lines = {}  # (file, line number) -> the text
        self._surroundings = Surroundings(device, self._device_function)
        self._device_functions: dict[FunctionType, Callable[..., Any]] = {}

    def kernel(self, function: Callable[..., None]) -> Threads:
        """The kernel: a call of it with its arguments starts one thread."""
        return self._translated(getattr(function, "py_func", function), is_kernel=True)

    def _translated(self, function: FunctionType, is_kernel: bool) -> Any:
        tree, file = self._parsed(function)
        outside = {**function.__globals__, **inspect.getclosurevars(function).nonlocals}
        inside = ast.walk(ast.Module(tree.body[0].body, []))  # decorators and annotations are the host's
        used = {node.id for node in inside if isinstance(node, ast.Name)} - set(function.__code__.co_varnames)
        scope = {name: self._surroundings.stand_in(name, outside[name]) for name in sorted(used & outside.keys())}
        scope |= self._known
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

    def _device_function(self, function: FunctionType) -> Callable[..., Any]:
        if function not in self._device_functions:
            self._device_functions[function] = self._translated(function, is_kernel=False)
        return self._device_functions[function]


class _Waits(ast.NodeTransformer):
    """Makes ``cuda.syncthreads()`` and what a warp does together a yield; counts rounds of ``while``; names arrays."""

    def __init__(self, scope: dict[str, Any], is_kernel: bool):
        self.scope, self.is_kernel = scope, is_kernel

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        refused.check(node, self.is_kernel)
        self.function = node
        node.decorator_list, node.returns = [], None
        self.generic_visit(node)
        if self.is_kernel:  # a yield that is never reached makes every kernel a generator, also one without a barrier
            unreachable = [ast.Return(), ast.Expr(ast.Yield())]
            node.body += [ast.copy_location(statement, node) for statement in unreachable]
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_Constant(self, node: ast.Constant) -> ast.expr:
        """``0.5`` is a float64 as in Numba, whose sum with a float32 is one, and which divides by 0."""
        if type(node.value) is not float:
            return node
        name = f"float64 {node.value!r}"
        self.scope[name] = np.float64(node.value)
        return ast.copy_location(ast.Name(name, ast.Load()), node)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """``threadIdx`` from ``numba.cuda`` is ``cuda.threadIdx``."""
        known = self.scope.get(node.id)
        if not isinstance(known, Imported):
            return node
        return ast.copy_location(ast.Attribute(ast.Name(DEVICE, ast.Load()), known.name, ast.Load()), node)

    def visit_While(self, node: ast.While) -> ast.While:
        self.generic_visit(node)
        count = ast.Attribute(ast.Name(MARK, ast.Load()), "count_round", ast.Load())
        node.body.insert(0, ast.copy_location(ast.Expr(ast.Call(count, [], [])), node))
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
        if self._made_array(node.func):
            given = {keyword.arg: keyword.value for keyword in node.keywords}
            refused.check_constant(node.args[0] if node.args else given["shape"], self.function)
        called = self._value(node.func)
        if isinstance(called, stops.Waiting):
            node.func = ast.Attribute(node.func, "stop", ast.Load())
            return ast.copy_location(ast.Yield(node), node)
        if inspect.isgeneratorfunction(called):  # a device function that waits
            return ast.copy_location(ast.YieldFrom(node), node)
        return node

    def _made_array(self, function: ast.expr) -> bool:
        return (
            isinstance(function, ast.Attribute)
            and function.attr == "array"
            and getattr(self._value(function.value), "makes_arrays", False)
        )

    def _value(self, node: ast.expr) -> Any:
        """What a name, or an attribute of a module, stands for; None if only running the kernel could say."""
        if isinstance(node, ast.Name):
            return self.scope.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self._value(node.value)
            if isinstance(owner, Module):
                return getattr(owner, node.attr)
            if isinstance(owner, Device):
                return vars(owner).get(node.attr)
        return None

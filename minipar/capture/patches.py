"""How a recorder gets to see what a step does: hooks that stand in their places only while one listens.

So a step that is not recorded pays nothing for them. They act on the thread that records alone; what other threads do
meanwhile passes through unchanged.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from .. import tape
from ..backend.random import Generator
from ..nn.hooks import Hooked
from ..nn.parameter import Parameter
from ..ops.accepts import LOOKERS
from ..ops.op import Op
from ..optim.lr_scheduler.scheduler import LRScheduler
from ..optim.optimizer import Optimizer
from ..tape import Value
from ..tensor.interop import Interop
from .memory import array_slot, data_dependent, grad_slot
from .raw import kernel_calls_told
from .recorder import Recorder
from .traced import PLAIN, RAW, TRACE, Traced, active, plain_of

_lock = threading.RLock()  # one recording at a time: they share the places of the hooks

_NUMPY = [  # functions that make arrays without asking their arguments for leave
    *("array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray", "require", "zeros", "ones"),
    *("full", "arange", "linspace", "eye", "identity", "tri", "indices", "fromiter", "frombuffer"),
]
_TO_PYTHON = ["item", "tolist", "numpy", "__float__", "__int__", "__index__", "__bool__", "__array__", "__dlpack__"]
_DRAWS = ("uniform", "normal", "integers", "permutation", "_ticket")


@contextmanager
def listening(recorder: Recorder) -> Iterator[None]:
    """What this thread does meanwhile is told to the recorder; Ctrl-C at any moment leaves no hook behind."""
    with _lock:
        before = [(place, name, vars(place)[name]) for place, name, _ in _hooks()]
        guard = tape.mode.guard
        try:
            with kernel_calls_told():
                for place, name, hook in list(_hooks()):
                    setattr(place, name, hook)
                active.recorder = tape.mode.guard = recorder
                yield
        finally:
            active.recorder, tape.mode.guard = None, guard
            for place, name, original in before:
                setattr(place, name, original)


def _hooks() -> Iterator[tuple[Any, str, Any]]:
    """(place, name, what stands there meanwhile)"""
    yield Value, "array", _Array()
    yield Value, "_grad", _Grad()
    yield Op, "__call__", _told(Op.__call__, Recorder.operation)
    yield Value, "accumulate", _told(Value.accumulate, Recorder.accumulate)
    yield Parameter, "accumulate", _told(Parameter.accumulate, Recorder.accumulate)
    yield Value, "bump", _told(Value.bump, Recorder.bump)
    for name in ("_grad_slot", "in_buffer", "grad_in_buffer"):
        yield Parameter, name, _plainly(vars(Parameter)[name])
    for base in (Optimizer, LRScheduler):
        for kind in _family(base):
            if "step" in vars(kind):
                yield kind, "step", _stepping(vars(kind)["step"])
    yield Hooked, "__call__", _called(Hooked.__call__)
    for name in _DRAWS:
        yield Generator, name, _drawing(vars(Generator)[name])
    for name in _TO_PYTHON:
        yield Interop, name, _looking(name, vars(Interop)[name])
    for name in _NUMPY:
        yield np, name, _numpy(getattr(np, name))
    yield np, "empty", _giving(_numpy(np.empty))
    if "minipar.kernels.cpu.compile" in sys.modules:
        kind = sys.modules["minipar.kernels.cpu.compile"].Kernel
        yield kind, "compile", _compiling(kind.compile)
    yield LRScheduler, "_update_lr", _within_step(LRScheduler._update_lr)
    yield Optimizer, "_runs", _within_step(Optimizer._runs)
    modules = [module for name, module in list(sys.modules.items()) if name.startswith("minipar.ops.")]
    for check in LOOKERS:
        for module in modules:
            if vars(module).get(check.__name__) is check:
                yield module, check.__name__, _told_of_check(check)


def _within_step(original: Callable[..., Any]) -> Callable[..., Any]:
    """What only a step calls: it must be in one that was seen."""

    def hook(self: Any, *args: Any, **kwargs: Any) -> Any:
        if active.recorder is not None and active.recorder.mode == TRACE:
            raise RuntimeError(
                f"minipar.compile: {type(self).__name__}.step was taken from its object before the step was recorded, "
                "so its call was not seen; in the step, call it on the object: optimizer.step(), scheduler.step()"
            )
        return original(self, *args, **kwargs)

    return hook


def _told_of_check(original: Callable[..., Any]) -> Callable[..., Any]:
    def hook(*args: Any) -> Any:
        recorder = active.recorder
        if recorder is None or recorder.mode != TRACE:
            return original(*args)
        return recorder.checked(original, args)

    return hook


class _Array:
    """Value.array"""

    def __get__(self, value: Any, kind: Any = None) -> Any:
        recorder = active.recorder
        return array_slot.__get__(value) if recorder is None or value is None else recorder.read(value)

    def __set__(self, value: Any, array: Any) -> None:
        recorder = active.recorder
        if recorder is None:
            array_slot.__set__(value, array)
        else:
            recorder.write(value, array)


class _Grad:
    """Value._grad"""

    def __get__(self, value: Any, kind: Any = None) -> Any:
        recorder = active.recorder
        if recorder is not None and recorder.mode == TRACE:
            recorder.grad_read(value)
        return grad_slot.__get__(value)

    def __set__(self, value: Any, grad: Any) -> None:
        grad_slot.__set__(value, grad)
        recorder = active.recorder
        if recorder is not None and recorder.mode == TRACE:
            recorder.grad_set(value)


def _told(original: Callable[..., Any], tell: Callable[..., Any]) -> Callable[..., Any]:
    def hook(self: Any, *args: Any) -> Any:
        recorder = active.recorder
        if recorder is None or recorder.mode != TRACE:
            return original(self, *args)
        if tell is Recorder.operation:
            return tell(recorder, original, self, args)
        return tell(recorder, original, self, *args)

    return hook


def _plainly(original: Callable[..., Any]) -> Callable[..., Any]:
    """Compares arrays by identity: it must see them as they are."""

    def hook(self: Any) -> Any:
        recorder = active.recorder
        if recorder is None:
            return original(self)
        mode, recorder.mode = recorder.mode, PLAIN
        try:
            return original(self)
        finally:
            recorder.mode = mode

    return hook


def _stepping(original: Callable[..., Any]) -> Callable[..., Any]:
    def hook(self: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = active.recorder
        if recorder is None or recorder.mode != TRACE:
            return original(self, *args, **kwargs)
        if isinstance(self, Optimizer) and (args or kwargs):
            raise NotImplementedError(
                f"minipar.compile: {type(self).__name__}.step(closure) is not supported: it calls the model itself"
            )
        return recorder.outside(original, (self, *args), kwargs)

    return hook


def _called(original: Callable[..., Any]) -> Callable[..., Any]:
    def hook(self: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = active.recorder
        if recorder is not None:
            recorder.modules[id(self)] = self
        return original(self, *args, **kwargs)

    return hook


def _drawing(original: Callable[..., Any]) -> Callable[..., Any]:
    def hook(self: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = active.recorder
        if recorder is not None and recorder.mode == TRACE:
            return recorder.drawn(original, self, args, kwargs)
        if recorder is not None and recorder.mode == RAW:
            recorder.watch.computes = True
        return original(self, *args, **kwargs)

    return hook


def _looking(name: str, original: Callable[..., Any]) -> Callable[..., Any]:
    def hook(self: Any, *args: Any, **kwargs: Any) -> Any:
        recorder = active.recorder
        if recorder is not None and recorder.mode == TRACE:
            self.array  # noqa: B018 - tells that this tensor is used
            if recorder.varies([array_slot.__get__(self)]):
                raise data_dependent(name)
        return original(self, *args, **kwargs)

    return hook


def _numpy(original: Callable[..., Any]) -> Callable[..., Any]:
    def hook(*args: Any, **kwargs: Any) -> Any:
        recorder = active.recorder
        if recorder is None or (recorder.mode != TRACE and not any(type(x) is Traced for x in args)):
            return original(*args, **kwargs)
        for x in args:
            if isinstance(x, Value) and recorder.varies([plain_of(x.array)]):
                raise data_dependent(original.__name__)
        return recorder.call(original, args, kwargs)

    return hook


def _giving(make: Callable[..., Any]) -> Callable[..., Any]:
    def hook(*args: Any, **kwargs: Any) -> Any:
        array = make(*args, **kwargs)
        recorder = active.recorder
        if recorder is not None and recorder.mode == RAW:
            recorder.watch.gave(array)
        return array

    return hook


def _compiling(original: Callable[..., Any]) -> Callable[..., Any]:
    """Numba knows NumPy's functions by who they are: where a kernel calls one, it must find it in its place."""
    own = {name: getattr(np, name) for name in (*_NUMPY, "empty")}

    def hook(kernel: Any, signature: Any) -> Any:
        if active.recorder is None:
            return original(kernel, signature)
        hooks = {name: getattr(np, name) for name in own}
        vars(np).update(own)
        try:
            return original(kernel, signature)
        finally:
            vars(np).update(hooks)

    return hook


def _family(base: Any) -> list[Any]:
    return [base, *[kind for child in base.__subclasses__() for kind in _family(child)]]

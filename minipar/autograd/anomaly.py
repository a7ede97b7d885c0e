"""Who made the NaN? Every operation remembers the line that called it, and backward looks at what it gets.

This costs several times the time of a step: switch it on to find a mistake, and off again.
"""

from __future__ import annotations

import linecache
import sys
from typing import Any
from weakref import WeakKeyDictionary

from .. import tape
from ..backend import to_numpy
from ..backend.current_gpu import on_its_gpu
from ..ops.op import array_of
from ..tape import Node, Value
from .mode import checked_switch

_OURS = __file__.removesuffix("autograd/anomaly.py")  # pathlib is slow to import


class detect_anomaly:
    """Inside, backward raises RuntimeError where the first NaN arises, naming the operation and the line of user code.

    Three mistakes are found, of operations that were recorded inside and are walked back inside:

    - an operation made a NaN in the forward pass from inputs that held none, and the result of it all is NaN;
    - an operation made a NaN gradient from a gradient that held none (`check_nan=False` looks for neither);
    - an array that backward needs was written behind the tape's back, through NumPy memory that a tensor shares.

    >>> x = minipar.tensor([1.0, 0.0], requires_grad=True)
    >>> with minipar.autograd.detect_anomaly():
    ...     (x.sqrt() * 0).sum().backward()
    Traceback (most recent call last):
    RuntimeError: Sqrt made a NaN gradient of its input 0, called at ...
    """

    def __init__(self, check_nan: bool = True) -> None:
        self.check_nan = check_nan
        self._stack: list[tuple[Any, Any]] = []

    def __enter__(self) -> detect_anomaly:
        self._stack.append((tape.mode.watch, tape.mode.guard))
        guard = _Guard(self.check_nan, tape.mode.watch)
        tape.mode.watch, tape.mode.guard = guard.note, guard
        return self

    def __exit__(self, *_: object) -> None:
        tape.mode.watch, tape.mode.guard = self._stack.pop()


class set_detect_anomaly(detect_anomaly):
    """As detect_anomaly, on or off; called on its own it takes effect at once, as in PyTorch.

    >>> _ = minipar.autograd.set_detect_anomaly(True)
    >>> minipar.is_anomaly_enabled()
    True
    >>> _ = minipar.autograd.set_detect_anomaly(False)
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        mode = checked_switch("set_detect_anomaly", mode)
        super().__init__(check_nan)
        self._before = tape.mode.watch, tape.mode.guard
        if mode and tape.mode.guard is None:
            super().__enter__()
        elif not mode and isinstance(tape.mode.guard, _Guard):
            tape.mode.watch, tape.mode.guard = tape.mode.guard.before, None

    def __enter__(self) -> set_detect_anomaly:
        return self

    def __exit__(self, *_: object) -> None:
        tape.mode.watch, tape.mode.guard = self._before


def is_anomaly_enabled() -> bool:
    """Whether backward looks for NaN on this thread.

    >>> minipar.is_anomaly_enabled()
    False
    """
    return isinstance(tape.mode.guard, _Guard)


class _Guard:
    """What is remembered of each recorded operation, and what is looked at on the way back."""

    def __init__(self, check_nan: bool, before: Any) -> None:
        self.check_nan = check_nan
        self.before = before
        self.lines: WeakKeyDictionary[Node, str] = WeakKeyDictionary()
        self.made_nan: WeakKeyDictionary[Node, None] = WeakKeyDictionary()
        self.prints: WeakKeyDictionary[Node, list[tuple[Value, int, int]]] = WeakKeyDictionary()

    def note(self, node: Node, inputs: Any, outputs: Any) -> None:
        """An operation was recorded."""
        if self.before is not None:
            self.before(node, inputs, outputs)
        self.lines[node] = _users_line()
        if self.check_nan and any(map(_has_nan, outputs)) and not any(map(_has_nan, inputs)):
            self.made_nan[node] = None
        saved = getattr(node, "saved", None)
        if isinstance(saved, list):
            self.prints[node] = [(x, x.changes(), _fingerprint(x)) for x in saved if isinstance(x, Value)]

    def begin(self, roots: Any) -> None:
        """Backward is about to start from these."""
        if self.check_nan and any(map(_has_nan, roots)) and self.made_nan:
            first = min(self.made_nan, key=lambda node: node.order)
            raise RuntimeError(f"{first.name()} made a NaN in the forward pass{self._where(first)}")

    def pull(self, node: Node, grad: Any, create_graph: bool) -> Any:
        """node.pull(…), looked at from both sides."""
        for value, changes, fingerprint in self.prints.get(node, ()):
            if value.changes() == changes and _fingerprint(value) != fingerprint:
                raise RuntimeError(
                    f"{node.name()} needs a tensor of shape {tuple(value.array.shape)} for its gradient, but its "
                    f"memory was written through NumPy since, where the tape cannot see it{self._where(node)}"
                )
        pulled = node.pull(grad, create_graph)
        if self.check_nan:
            grads = grad if isinstance(grad, (list, tuple)) else [grad]
            for i, part in enumerate(pulled):
                if _has_nan(part) and not any(map(_has_nan, grads)):
                    raise RuntimeError(f"{node.name()} made a NaN gradient of its input {i}{self._where(node)}")
        return pulled

    def _where(self, node: Node) -> str:
        return self.lines.get(node, "; it was recorded outside of detect_anomaly, so its line is not known")


@on_its_gpu
def _has_nan(x: Any) -> bool:
    array = array_of(x)
    return getattr(array, "dtype", None) is not None and array.dtype.kind == "f" and bool((array != array).any())


def _fingerprint(x: Value) -> int:
    return hash(to_numpy(x.array).tobytes())


def _users_line() -> str:
    """The innermost line that is not minipar's own."""
    frame = sys._getframe(2)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    name, line = frame.f_code.co_filename, frame.f_lineno
    text = linecache.getline(name, line, frame.f_globals).strip()
    return f", called at {name}, line {line}, in {frame.f_code.co_name}:\n    {text}"

"""What must still be as it was when a step was recorded, as one expression that Python compiles.

Tensors from outside are known by their identity and that of their arrays: what they hold may change, and is seen.
"""

from __future__ import annotations

from sys import getrefcount
from typing import Any, NamedTuple

import numpy as np

from .. import tape
from ..backend.dispatch import kernels_in_use
from ..backend.dtypes import get_default_dtype
from ..backend.random import holds_part_of_a_batch
from ..kernels.cpu.threads import get_num_threads
from ..nn.parameter import Parameter
from ..tensor import Tensor
from .recorder import Recorder
from .source import Source
from .traced import active


class Settings(NamedTuple):
    """What is set for this thread, and a step is recorded for."""

    grad: bool
    inference: bool
    kernels: str
    threads: int
    default_dtype: np.dtype


_ASKED = kernels_in_use, get_num_threads, get_default_dtype


def settings() -> Settings:
    return Settings(tape.mode.grad, tape.mode.inference, kernels_in_use(), get_num_threads(), get_default_dtype())


def same_call(args: tuple, kwargs: dict[str, Any], source: Source) -> list[str]:
    """Is it surely such a call once more, under the same settings? Quicker than to make a key and compare.

    The lines of a function of (args, kwargs) that returns False where it is not, or where that would take longer.
    """
    if kwargs:
        return ["return False"]
    name = source.name
    lines = [f"if kwargs or len(args) != {len(args)}: return False"]
    mode, now = name(tape.mode), settings()
    checks = [f"{name(active)}.recorder is None"]  # not inside of another compiled step
    checks.append(f"{mode}.grad is {now.grad} and {mode}.inference is {now.inference}")
    checks += [f"{name(get)}() == {name(value)}" for get, value in zip(_ASKED, now[2:])]
    checks.append(f"not {name(holds_part_of_a_batch)}()")
    for i, x in enumerate(args):
        if type(x) is Tensor:
            checks.append(f"type(args[{i}]) is {name(Tensor)} and not args[{i}].tracked")
            checks.append(f"type(x := args[{i}].array) is {name(np.ndarray)}")
            checks.append(f"x.shape == {name(x.array.shape)} and x.dtype is {name(x.array.dtype)}")
        elif type(x) in (int, bool, str):
            checks.append(f"type(args[{i}]) is {name(type(x))} and args[{i}] == {name(x)}")
        else:
            return ["return False"]
    return [*lines, *(f"if not ({check}): return False" for check in checks)]


def conditions(recorder: Recorder, source: Source) -> list[str]:
    """One condition a line."""
    lines = []
    for value, array, tracked in recorder.live.values():
        name = source.name(value)
        if isinstance(value, Parameter) and value.in_buffer():
            buffer: Any = value.buffer  # not the view: to hold one is to look at it (nn.parameter)
            lines.append(f"{name}.array is {source.name(buffer.data_views)}[{value.slot}]")
        else:
            lines.append(f"{name}.array is {source.name(array)}")
        lines.append(f"{name}.tracked is {tracked}")
    for value, was_there in recorder.entries.values():
        grad = f"{source.name(value)}._grad"
        if was_there:
            parameter: Any = value
            views = source.name(parameter.buffer.grad_views)
            lines.append(f"{grad} is not None and {grad}.array is {views}[{parameter.slot}]")
        else:
            lines.append(f"{grad} is None")
    parts_of_parts = {id(part): part for module in recorder.modules.values() for part in module.modules()}
    for module in parts_of_parts.values():  # also those that Sequential calls in its own way
        name = source.name(module)
        lines.append(f"{name}.training is {module.training} and {name}._hooked is {module._hooked}")
        for kind in ("_parameters", "_modules"):
            parts = getattr(module, kind)
            if parts:
                table = source.name(parts)
                lines += [f"{table}.get({key!r}) is {source.name(part)}" for key, part in parts.items()]
    return lines


def unkept(recorder: Recorder, source: Source) -> list[str]:
    """Does nobody keep a gradient that a replay would write over? (Eager then puts the new one elsewhere.)

    A slot's view is referred to by its buffer's list and by the gradient's tensor, which the parameter refers to; each
    question adds one.
    """
    count = source.name(getrefcount)
    lines = []
    for value in recorder.touched.values():
        if isinstance(value, Parameter) and value.buffer is not None and id(value) not in recorder.entries:
            grad, view = f"{source.name(value)}._grad", f"{source.name(value.buffer.grad_views)}[{value.slot}]"
            alone = f"{grad} is None or {grad}.array is not {view}"
            lines.append(f"({count}({view}) < 3 if {alone} else {count}({grad}) < 3 and {count}({view}) < 4)")
    return lines

"""The one error of the simulator, and where in the kernel it happened."""

import dis
import sys
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise
from types import CodeType, FrameType, TracebackType

# A name that the globals of every translated function hold, so that its frames are known on the stack: the clock.
MARK = "__simulated__"


class KernelError(AssertionError):
    """What a kernel did that a GPU would punish or silently get wrong; the message names the kernel's line."""


def kernel_frame() -> FrameType:
    """The innermost frame of the kernel, or of a device function of it."""
    frame = sys._getframe(1)
    while MARK not in frame.f_globals:
        frame = frame.f_back
    return frame


def here() -> str:
    """The line of the kernel that is being executed, and by which thread, as errors end with it."""
    frame = kernel_frame()
    return _where(frame, frame.f_lineno)


def raised(error: Exception) -> Exception:
    """What Python raised while it ran the kernel, as a fault of the kernel, or as what the simulator does not know."""
    traceback = error.__traceback__
    places = [(step.tb_frame, step.tb_lineno) for step in _steps(traceback) if MARK in step.tb_frame.f_globals]
    where = _where(*places[-1])
    if isinstance(error, AttributeError):
        return NotImplementedError(f"the simulator does not know {error.obj!r}.{error.name}{where}")
    return KernelError(f"{type(error).__name__}: {error}{where}")


def _steps(traceback: TracebackType | None) -> Iterator[TracebackType]:
    while traceback is not None:
        yield traceback
        traceback = traceback.tb_next


def _where(frame: FrameType, line: int) -> str:
    return f" in line {line} of {frame.f_code.co_name} by {frame.f_globals[MARK].who}"


def place(frame: FrameType) -> tuple[CodeType, int]:
    """The instruction of the kernel that is being executed."""
    return frame.f_code, _instructions(frame.f_code)[frame.f_lasti // 2]


def line_of(code: CodeType, instruction: int) -> int:
    """The line of an instruction of the kernel."""
    return next(line for first, end, line in code.co_lines() if first <= instruction < end and line)


@lru_cache(maxsize=256)
def _instructions(code: CodeType) -> list[int]:
    """For each two bytes of the code, where their instruction begins.

    While one is executed, ``f_lasti`` says where it begins or, once Python has specialised it, where it ends.
    """
    starts = [*(instruction.offset for instruction in dis.get_instructions(code)), len(code.co_code)]
    return [first for first, following in pairwise(starts) for _ in range(first, following, 2)]

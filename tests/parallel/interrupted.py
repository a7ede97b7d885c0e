"""Ctrl-C at a chosen moment: wherever Python looks whether a signal has come."""

from __future__ import annotations

import dis
import functools
import itertools
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any

_LOOKS = ("CALL", "CALL_FUNCTION_EX", "CALL_KW", "JUMP_BACKWARD", "RESUME")  # Python looks after one of these


@functools.cache
def _moments(code: CodeType) -> set[int]:
    """The places in the code where a signal's handler may run: each instruction that follows one that looks."""
    instructions = list(dis.get_instructions(code))
    return {after.offset for before, after in itertools.pairwise(instructions) if before.opname in _LOOKS}


def _is_held_back() -> bool:
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def interrupted_at(moment: int, call: Callable[[], Any], within: tuple[str, ...]) -> bool:
    """Call, with a KeyboardInterrupt at the moment of this number within files whose names have one of these parts.

    False if the call was over before that.
    """
    left = moment
    is_over = False

    def at_instruction(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal left, is_over
        if event == "opcode" and not is_over and frame.f_lasti in _moments(frame.f_code) and not _is_held_back():
            if left == 0:
                is_over = True
                raise KeyboardInterrupt
            left -= 1
        return at_instruction

    def at_call(frame: FrameType, event: str, _: Any) -> Any:
        if is_over or not any(part in frame.f_code.co_filename for part in within):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return at_instruction

    before = sys.gettrace()
    sys.settrace(at_call)
    try:
        call()
    except KeyboardInterrupt:
        if not is_over:
            raise
    finally:
        sys.settrace(before)
    return is_over


@contextmanager
def at_most(seconds: float, error: type[Exception] = TimeoutError) -> Iterator[None]:
    """This error if what is done inside takes longer; also where Python waits for a lock."""

    def too_long(number: int, frame: FrameType | None) -> None:
        raise error(f"not done in {seconds:g} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

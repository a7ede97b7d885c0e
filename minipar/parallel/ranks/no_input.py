"""Nobody sits at a worker's stdin: whatever asks there for input, `input()` or a debugger, is told so at once."""

import io
import os
import sys
from typing import Any, NoReturn


def refuse_input(rank: int) -> None:
    """From now on reading from `sys.stdin`, and `breakpoint()`, are errors in this process that say what to do instead.

    A debugger of another kind, which PYTHONBREAKPOINT names or which has put in its own hook, is left alone.
    """
    sys.stdin = _NoInput(rank)
    if sys.breakpointhook is sys.__breakpointhook__:
        sys.breakpointhook = sys.stdin.on_breakpoint


class _NoInput(io.TextIOBase):
    """In place of `sys.stdin`. (Programs that the rank starts find the empty file which it was.)"""

    def __init__(self, rank: int) -> None:
        self._rank = rank

    def fileno(self) -> int:
        return 0

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> NoReturn:
        raise self._refusal("read from stdin")

    def readline(self, size: int | None = -1) -> NoReturn:
        raise self._refusal("read from stdin")

    def on_breakpoint(self, *args: Any, **kwargs: Any) -> Any:
        if os.environ.get("PYTHONBREAKPOINT"):
            return sys.__breakpointhook__(*args, **kwargs)
        raise self._refusal("called breakpoint()")

    def _refusal(self, what: str) -> RuntimeError:
        return RuntimeError(
            f"rank {self._rank} {what}, but stdin belongs to the process that started the ranks: ask there, and pass "
            f"the answer as an argument. To debug, use workers=1 and backend='thread', where input() and breakpoint() "
            f"work"
        )

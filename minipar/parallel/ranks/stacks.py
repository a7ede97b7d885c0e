"""Where a rank stands in the user's code, even if it is stuck in a loop or in C code that never returns to Python.

A worker process has faulthandler answer a signal: the handler is C, needs no interpreter lock, and writes the stack of
the interrupted thread into a file that worker and caller share. It costs nothing until asked. The signal is SIGURG,
which a process that is not ready to answer ignores. A stopped process (SIGSTOP) cannot answer at all.

A thread of this process is simply looked at.
"""

from __future__ import annotations

import contextlib
import faulthandler
import linecache
import opcode
import os
import re
import signal
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import NamedTuple

from ... import kernels
from ..comm.shared_memory import create_block

_SIGNAL = signal.SIGURG
_RAISE = opcode.opmap["RAISE_VARARGS"]
_LIMIT = 0.25  # seconds to wait for an answer
_ENTRIES = ("worker.py", "threads.py")  # the files of this folder from which a rank's function is called
_OWN = (str(Path(__file__).parents[2]) + os.sep, str(Path(kernels.__file__).parent) + os.sep)
_LIBRARIES = (*{sysconfig.get_path(name) + os.sep for name in ("stdlib", "purelib", "platlib")}, "<frozen ")


class Frame(NamedTuple):
    """A place in the source.

    >>> Frame("/home/me/train.py", 40, "step").place()
    'train.py:40 in step'
    """

    file: str
    line: int
    function: str

    def place(self) -> str:
        return f"{_cell(self.file) or Path(self.file).name}:{self.line} in {self.function}"

    def is_own(self) -> bool:
        """Whether it is a line of minipar."""
        return self.file.startswith(_OWN)

    def is_users(self) -> bool:
        """Whether it is neither a line of minipar, nor of Python's library, nor of an installed package."""
        return not self.is_own() and not self.file.startswith(_LIBRARIES)


# -- a process ---------------------------------------------------------------------------------------------------------


def answer(descriptor: int) -> None:
    """From now on this process answers a `ProcessStack`, also when it crashes; the descriptor stays open."""
    faulthandler.register(_SIGNAL, file=descriptor, all_threads=False, chain=False)
    faulthandler.enable(file=descriptor, all_threads=False)


class ProcessStack:
    """The stack of a worker process, which inherits `descriptor`, and whose id is `pid` as soon as it has one."""

    def __init__(self) -> None:
        self.descriptor = create_block(4096)
        self.pid: int | None = None
        self._clear()

    def ask(self) -> None:
        """Ask without waiting; what was answered before is dropped."""
        self._clear()
        self._deadline = time.monotonic() + _LIMIT
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, _SIGNAL)

    def frames(self) -> list[Frame]:
        """The answer, outermost call first; [] if there was none within 0.25 s of the question."""
        before, text = b"", self._text()
        while (text != before or not text) and time.monotonic() < self._deadline:
            time.sleep(0.01)
            before, text = text, self._text()
        return parse(text)

    def crash(self) -> list[Frame]:
        """Where it crashed, if it did (a segmentation fault, say)."""
        _, crashed, text = self._text().rpartition(b"Fatal Python error")
        return parse(text) if crashed else []

    def is_stopped(self) -> bool:
        """Whether the process was stopped by a signal (or by a debugger), where the system tells."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_bytes().rpartition(b")")[2].split()[0] in b"Tt"
        except OSError:
            return False

    def close(self) -> None:
        os.close(self.descriptor)

    def _clear(self) -> None:
        os.ftruncate(self.descriptor, 0)
        os.lseek(self.descriptor, 0, os.SEEK_SET)  # the position is the worker's too
        self._deadline = 0.0

    def _text(self) -> bytes:
        return os.pread(self.descriptor, 1 << 16, 0)


def parse(text: bytes) -> list[Frame]:
    """The frames in what faulthandler wrote, outermost first."""
    lines = re.findall(rb'^  File "(.*)", line (\d+) in (.*)\n', text, re.MULTILINE)
    return [Frame(_unescaped(file), int(line), _unescaped(function)) for file, line, function in lines[::-1]]


def _unescaped(name: bytes) -> str:
    """faulthandler writes ASCII, and other characters as \\xe9, \\u20ac or \\U0001f600."""
    return re.sub(
        r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8}))",
        lambda found: chr(int(found[1] or found[2] or found[3], 16)),
        name.decode("ascii", "replace"),
    )


# -- this process ------------------------------------------------------------------------------------------------------


class ThreadStack:
    """The stack of a thread of this process: what it was when asked."""

    def __init__(self, thread: threading.Thread) -> None:
        self._thread = thread
        self._frames: list[Frame] = []

    def ask(self) -> None:
        frame = sys._current_frames().get(self._thread.ident or 0)
        self._frames = [] if frame is None else _walked(traceback.walk_stack(frame))[::-1]

    def frames(self) -> list[Frame]:
        return self._frames

    def is_stopped(self) -> bool:
        return False


def of_traceback(place: TracebackType | None) -> list[Frame]:
    """The frames of an exception, outermost call first."""
    return _walked(traceback.walk_tb(place))


def _walked(frames: Iterable[tuple[FrameType, int | None]]) -> list[Frame]:
    return [Frame(frame.f_code.co_filename, line or 0, frame.f_code.co_name) for frame, line in frames]


def from_user(place: TracebackType | None) -> TracebackType | None:
    """An exception's traceback from the first line of the user's on; None if there is none."""
    while place is not None and not _of_code(place).is_users():
        place = place.tb_next
    return place


def is_refusal(place: TracebackType | None) -> bool:
    """Whether minipar has raised an exception on purpose: in a line of it that is a `raise`."""
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return place is not None and _of_code(place).is_own() and place.tb_frame.f_code.co_code[place.tb_lasti] == _RAISE


def is_within(place: TracebackType | None) -> bool:
    """Whether an exception arose within minipar unforeseen: in a line of it that is no `raise`, or in what that calls.

    What minipar refuses is about what the user does: its own lines would only stand in the way.
    """
    last, rest = None, place
    while rest is not None:
        if _of_code(rest).is_own() or _of_code(rest).is_users():
            last = _of_code(rest)
        rest = rest.tb_next
    return last is not None and last.is_own() and not is_refusal(place)


def hide_own_lines(error: Exception) -> None:
    """Of a refusal: if a bare ``raise`` follows, the traceback ends in the line of the user's that has called."""
    if is_refusal(error.__traceback__) and from_user(error.__traceback__) is None:
        error.__traceback__ = None


def _of_code(place: TracebackType) -> Frame:
    return Frame(place.tb_frame.f_code.co_filename, 0, place.tb_frame.f_code.co_name)


# -- for people --------------------------------------------------------------------------------------------------------


def of_user(frames: Sequence[Frame]) -> list[Frame]:
    """The frames without those that led to the user's code, without minipar's, and without what these call."""
    entries = {str(Path(__file__).with_name(name)) for name in _ENTRIES}
    start = max((number for number, frame in enumerate(frames, 1) if frame.file in entries), default=0)
    others = [number for number, frame in enumerate(frames) if number >= start and not frame.is_own()]
    users = [number for number in others if frames[number].is_users()] or others
    if not users:
        return []
    end = next((number for number in range(users[-1], len(frames)) if frames[number].is_own()), len(frames))
    return [frame for frame in frames[users[0] : end] if not frame.is_own()]


def place(frames: Sequence[Frame]) -> str:
    """Where the user's code stands: "train.py:40 in step", or "" if that is not known."""
    found = [frame for frame in frames if frame.is_users()] or frames
    return found[-1].place() if found else ""


def text(frames: Sequence[Frame]) -> str:
    """As a traceback shows it, without its heading. Equal calls in a row (a recursion) are told once."""
    lines = [
        traceback.FrameSummary(frame.file, frame.line, frame.function, line=linecache.getline(frame.file, frame.line))
        for frame in frames
    ]
    return "".join(traceback.StackSummary.from_list(lines).format()).rstrip()


def with_source(told: str) -> str:
    """A traceback of a worker, with what only this process knows: a notebook's cells, by number and line of source."""
    known = []
    lines = told.splitlines()
    for line, after in zip(lines, [*lines[1:], ""]):
        found = re.fullmatch(r'  File "(.*)"(, line (\d+), in .*)', line)
        cell = found and _cell(found[1])
        known.append(f"  {cell}{found[2]}" if found and cell else line)
        if found and not after.startswith("    ") and (source := linecache.getline(found[1], int(found[3]))):
            known.append(f"    {source.strip()}")
    return "\n".join(known)


def _cell(file: str) -> str:
    """What IPython calls the cell that it has compiled under this name: "Cell In[3]"; "" for other files."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return " ".join(getattr(shell.compile, "format_code_name", lambda name: ())(file) or ()) if shell else ""

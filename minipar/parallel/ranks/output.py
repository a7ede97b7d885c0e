"""What workers write to their stdout and stderr, shown by the caller: line by line, with the rank in front.

    [rank 1] loss 0.31

A line with carriage returns in it is drawn over and over: a progress bar. Those of rank 0 are passed on as they are,
so that they move; the other ranks' would only fight with it, and are left out. (Their environment also tells tqdm to
draw nothing.)

A worker's streams are pipes: so what C code writes is shown too, and what a worker wrote before it died. The caller
reads them while it waits for results; nothing else of the caller's process is needed.
"""

import codecs
import os
import struct
import sys
from collections.abc import Iterable, Iterator
from fcntl import ioctl
from select import POLLIN, poll
from termios import FIONREAD
from typing import IO

_READ = 64 << 10  # bytes: what a pipe holds
_LONGEST = 1 << 20  # characters: a line that is longer is shown as several
_CLEAR = "\r\x1b[K"  # tells a terminal to clear the line


def wait_and_show(streams: Iterable["RankStream"], others: Iterable[int], seconds: float) -> set[int]:
    """Wait, at most for so long, until something can be read, and show what the streams bring.

    Returns those of the `others`, descriptors too, that can be read.
    """
    poller = poll()
    by_descriptor = {stream.fileno(): stream for stream in streams if stream.is_open}
    for descriptor in (*by_descriptor, *others):
        poller.register(descriptor, POLLIN)
    ready = {descriptor for descriptor, _ in poller.poll(1000 * seconds)}
    for descriptor in ready & by_descriptor.keys():
        by_descriptor[descriptor].pass_on()
    return ready - by_descriptor.keys()


class Screen:
    """The caller's stdout and stderr, as they are when something is shown (notebooks and tests put in their own)."""

    def __init__(self) -> None:
        self._unfinished: str | None = None  # the stream on which a progress bar stands, without an end of line

    def prefix(self, rank: int) -> str:
        """What stands in front of each line of this rank."""
        return f"[rank {rank}] "

    def show(self, name: str, text: str, is_bar: bool) -> None:
        """Write `text` to the stream of this name: whole lines, or a part of a bar."""
        if self._unfinished is not None and not is_bar:
            self._leave_bar(self._unfinished)
        self._write(name, text)
        if is_bar:
            self._unfinished = None if text.endswith("\n") else name

    def flush(self, name: str) -> None:
        stream = getattr(sys, name)
        if stream is not None:
            stream.flush()

    def finish(self) -> None:
        """Begin a new line, should a bar still stand."""
        if self._unfinished is not None:
            self._leave_bar(self._unfinished)

    def _leave_bar(self, name: str) -> None:
        """A terminal forgets the bar, which will be drawn again; elsewhere it gets its end of line."""
        self._unfinished = None
        self._write(name, _CLEAR if getattr(sys, name).isatty() else "\n")
        self.flush(name)

    def _write(self, name: str, text: str) -> None:
        stream = getattr(sys, name)
        if stream is None:  # as under pythonw
            return
        try:
            stream.write(text)
        except UnicodeEncodeError:  # the workers' streams can write everything, the caller's may not
            stream.write(text.encode(stream.encoding, "backslashreplace").decode(stream.encoding))


class RankStream:
    """What one rank writes to one of its streams; `pipe` is the end to read from."""

    def __init__(self, rank: int, name: str, pipe: IO[bytes], screen: Screen) -> None:
        os.set_blocking(pipe.fileno(), False)
        self._rank = rank
        self._name = name  # "stdout" or "stderr"
        self._pipe = pipe
        self._screen = screen
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun: list[str] = []  # a line, as far as it has come and is not shown
        self._length = 0  # of what has begun
        self._return = ""  # or a carriage return at the end of what has come: it may be half of an end of line
        self._is_bar = False  # the line that has begun
        self.is_open = True  # until the worker has closed its end

    def fileno(self) -> int:
        return self._pipe.fileno()

    def pass_on(self) -> int:
        """Show what is there to read, but no more than one piece: who writes without end leaves time for others.

        Returns how many bytes were read.
        """
        data = self._pipe.read(_READ)  # None if nothing is there, b"" at the end
        self.is_open = data != b""
        self._show(self._decoder.decode(data or b""))
        return len(data or b"")

    def finish(self) -> None:
        """Show what is there now, a line that has no end too; what others than the rank go on to write can wait."""
        (left,) = struct.unpack("i", ioctl(self._pipe, FIONREAD, bytes(4)))
        while (count := self.pass_on()) and count < left:
            left -= count
        if self._begun or self._is_bar or self._return:
            self._show("\n")

    def close(self) -> None:
        self._pipe.close()

    def _show(self, text: str) -> None:
        shown = False
        for part, is_bar in self._parts(text):
            self._screen.show(self._name, part, is_bar)
            shown = True
        if shown:
            self._screen.flush(self._name)

    def _parts(self, text: str) -> Iterator[tuple[str, bool]]:
        """What to show of the text that has come: whole lines, and of a bar whatever there is."""
        text = (self._return + text).replace("\r\n", "\n")
        self._return = "\r" if text.endswith("\r") else ""
        *ends, rest = text.removesuffix("\r").split("\n")
        for end in ends:
            yield from self._line(end)
        if not rest:
            return
        if self._is_bar or "\r" in rest:
            self._is_bar = True
            begun = self._take(rest)
            if self._rank == 0:
                yield begun, True
        elif self._length + len(rest) >= _LONGEST:
            yield from self._line(rest)
        else:
            self._begun.append(rest)
            self._length += len(rest)

    def _line(self, end: str) -> Iterator[tuple[str, bool]]:
        """What has begun, which ends so."""
        line = self._take(end)
        if not self._is_bar and "\r" not in line:
            yield f"{self._screen.prefix(self._rank)}{line}\n", False
        elif self._rank == 0:
            yield line + "\n", True
        self._is_bar = False

    def _take(self, end: str) -> str:
        """All that has begun, joined only now: a long line comes in many pieces."""
        begun = "".join([*self._begun, end])
        self._begun.clear()
        self._length = 0
        return begun

"""What workers print, warn, draw and write from C reaches the caller, with its rank."""

import contextlib
import ctypes
import io
import os
import pty
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import cloudpickle
import pytest

from minipar import parallel
from minipar.parallel.ranks.output import RankStream, Screen, wait_and_show

cloudpickle.register_pickle_by_value(sys.modules[__name__])
ROOT = Path(__file__).parents[2]


class Recorded(Screen):
    """Keeps what it is to show."""

    def __init__(self):
        super().__init__()
        self.shown = []

    def _write(self, name, text):
        self.shown.append(text)


def shown(rank, *parts):
    """What is shown of these parts, read one by one."""
    reader, writer = os.pipe()
    screen = Recorded()
    stream = RankStream(rank, "stdout", io.FileIO(reader, "rb"), screen)
    for part in parts:
        os.write(writer, part if isinstance(part, bytes) else part.encode())
        assert wait_and_show([stream], [], 0) == set()
    os.close(writer)
    stream.finish()
    assert not stream.is_open
    screen.finish()
    stream.close()
    return "".join(screen.shown)


@pytest.mark.parametrize(
    ("parts", "first", "second"),
    [
        (["a\nb", "c\n"], "[rank 0] a\n[rank 0] bc\n", "[rank 1] a\n[rank 1] bc\n"),
        (["no end"], "[rank 0] no end\n", "[rank 1] no end\n"),
        (["\n"], "[rank 0] \n", "[rank 1] \n"),
        (["a\r\nb\r", "\n"], "[rank 0] a\n[rank 0] b\n", "[rank 1] a\n[rank 1] b\n"),
        (["ü".encode()[:1], "ü".encode()[1:] + b"\xff\n"], "[rank 0] ü\ufffd\n", "[rank 1] ü\ufffd\n"),
        (["\r 1%", "\r 20", "%\r 30%\nx\n"], "\r 1%\r 20%\r 30%\n[rank 0] x\n", "[rank 1] x\n"),
        (["loading\r", "done\n"], "loading\rdone\n", ""),
        (["\r 1%"], "\r 1%\n", ""),
        (["1%\r", "2%\r", "\n"], "1%\r2%\n", ""),
        (["a\r", "\n", "b\r"], "[rank 0] a\n[rank 0] b\n", "[rank 1] a\n[rank 1] b\n"),
    ],
)
def test_lines_and_bars(parts, first, second):
    assert shown(0, *parts) == first
    assert shown(1, *parts) == second


def test_a_long_line_takes_time_in_proportion_and_is_cut():
    """40 MB in 640 pieces: joined at each of them, 13 GB would be moved."""
    reader, writer = os.pipe()
    screen = Recorded()
    stream = RankStream(0, "stdout", io.FileIO(reader, "rb"), screen)
    started = time.process_time()
    for _ in range(640):
        os.write(writer, b"x" * (64 << 10))
        stream.pass_on()
    os.close(writer)
    stream.finish()
    stream.close()
    assert time.process_time() - started < 1
    assert sum(text.count("x") for text in screen.shown) == 640 * (64 << 10)
    assert {len(text) for text in screen.shown} == {len("[rank 0] \n") + (1 << 20)}


def test_who_writes_without_end_leaves_time_for_others(capfd):
    """Rank 0, or a program that it leaves behind, writes faster than the caller reads."""
    with parallel.Pool(workers=2) as pool:

        def flood(comm):
            if comm.rank == 1:
                raise ValueError("boom")
            while True:
                os.write(1, b"y\n" * 30_000)

        pool.run(lambda comm: None)
        started = time.monotonic()
        with pytest.raises(parallel.WorkerError, match="rank 1 raised ValueError: boom"):
            pool.run(flood)
        assert time.monotonic() - started < 4

        def leave_a_flood(comm):
            if comm.rank == 0:
                subprocess.Popen(["timeout", "8", "yes"])

        started = time.monotonic()
        assert pool.run(leave_a_flood) == [None, None]
        with pytest.raises(parallel.WorkerError, match="rank 0 died with exit code 3"):
            pool.run(lambda comm: comm.rank or os._exit(3))
    assert time.monotonic() - started < 6
    capfd.readouterr()


def test_a_bar_is_left_before_a_line_is_shown(monkeypatch):
    for terminal, between in ((False, "\n"), (True, "\r\x1b[K")):
        monkeypatch.setattr(sys, "stdout", io.StringIO())
        monkeypatch.setattr(sys.stdout, "isatty", lambda terminal=terminal: terminal)
        screen = Screen()
        screen.show("stdout", "\r 10%", True)
        screen.show("stdout", "[rank 1] a\n", False)
        screen.show("stdout", "\r 20%\n", True)
        screen.show("stdout", "[rank 1] b\n", False)
        screen.finish()
        assert sys.stdout.getvalue() == f"\r 10%{between}[rank 1] a\n\r 20%\n[rank 1] b\n"


def test_a_stream_that_lacks_a_character_or_is_none(monkeypatch):
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", narrow)
    monkeypatch.setattr(sys, "stderr", None)
    screen = Screen()
    screen.show("stdout", "ü\n", False)
    screen.show("stderr", "ü\n", False)
    screen.flush("stdout")
    screen.flush("stderr")
    assert narrow.buffer.getvalue() == b"\\xfc\n"


def speak(comm):
    print("hello")
    print("to stderr", file=sys.stderr)
    ctypes.CDLL(None).puts(b"from C")
    os.write(1, b"by descriptor\n")
    print("no end of line", end="", file=sys.stderr)


def test_everything_is_shown_with_its_rank(capsys, monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # C code would not buffer either
    with parallel.Pool(workers=2) as pool:
        for _ in range(2):
            pool.run(speak)
            out, err = capsys.readouterr()
            for rank in range(2):
                mine = [line for line in out.splitlines() if line.startswith(f"[rank {rank}] ")]
                words = {line.removeprefix(f"[rank {rank}] ") for line in mine}
                assert words == {"hello", "from C", "by descriptor"}
                assert err.count(f"[rank {rank}] to stderr\n") == err.count(f"[rank {rank}] no end of line\n") == 1


def test_lines_are_shown_while_ranks_still_work():
    """Rank 1 ends only when the caller has shown what it said."""
    seen = threading.Event()

    class Listening(io.StringIO):
        def write(self, text):
            if "ready" in text:
                os.write(writer, b"go")
                seen.set()
            return super().write(text)

    reader, writer = os.pipe()
    path = f"/proc/{os.getpid()}/fd/{reader}"

    def work(comm):
        print("ready" if comm.rank else "…")
        if comm.rank:
            with open(path, "rb", buffering=0) as pipe:
                pipe.read(2)

    with contextlib.redirect_stdout(Listening()):
        parallel.launch(work, timeout=20)
    os.close(reader)
    os.close(writer)
    assert seen.is_set()


def test_what_a_dead_rank_has_said(capsys):
    def work(comm):
        if comm.rank == 1:
            print("last words")
            os.write(2, b"and a half line")
            os._exit(3)
        comm.barrier()

    with pytest.raises(parallel.WorkerError):
        parallel.launch(work)
    out, err = capsys.readouterr()
    assert (out, err) == ("[rank 1] last words\n", "[rank 1] and a half line\n")


def test_more_than_a_pipe_holds(capsys):
    def work(comm):
        for number in range(20_000):
            print(f"{number:06}")

    parallel.launch(work)
    lines = capsys.readouterr().out.splitlines()
    for rank in range(2):
        mine = [line[9:] for line in lines if line.startswith(f"[rank {rank}]")]
        assert mine == [f"{number:06}" for number in range(20_000)]


def test_warnings_come_as_text_with_their_rank(capsys):
    def work(comm):
        warnings.simplefilter("always")
        warnings.warn(f"mind rank {comm.rank}", stacklevel=1)

    parallel.launch(work)
    err = capsys.readouterr().err
    for rank in range(2):
        assert f"UserWarning: mind rank {rank}" in err
        assert all(line.startswith("[rank ") for line in err.splitlines())


def test_only_rank_0_draws_a_bar(capsys, monkeypatch):
    def work(comm):
        from tqdm import tqdm

        for _ in tqdm(range(3), desc=f"of rank {comm.rank}", mininterval=0, ncols=40):
            pass
        sys.stderr.write("\rmine 1%\rmine 2%\n")  # of another make

    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    parallel.launch(work)
    err = capsys.readouterr().err
    assert "of rank 1" not in err
    assert "[rank" not in err
    assert "\rof rank 0: 100%" in err
    assert err.count("mine 1%") == 1

    def disabled(comm):
        return os.environ.get("TQDM_DISABLE")

    assert parallel.launch(disabled) == [None, "1"]
    monkeypatch.setenv("TQDM_DISABLE", "0")
    assert parallel.launch(disabled) == ["0", "0"]


def test_bars_are_as_wide_as_the_terminal():
    code = (
        "import fcntl, struct, termios, sys\n"
        "fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack('4H', 24, 61, 0, 0))\n"
        "from minipar import parallel; import os\n"
        "seen = parallel.launch(lambda comm: (os.environ.get('COLUMNS'), os.environ.get('LINES')), workers=1)\n"
        "sys.stdout.write(repr(seen))"
    )
    terminal, far_end = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment | {"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=far_end, text=True, timeout=60,
    )  # fmt: skip
    os.close(far_end)
    os.close(terminal)
    assert done.stdout == "[('61', '24')]"


def test_a_stream_that_a_rank_has_closed_or_replaced(capsys):
    def work(comm):
        os.close(1)
        sys.stderr = None
        return comm.rank

    with parallel.Pool(workers=1) as pool:
        assert pool.run(work) == [0]
        assert pool.run(lambda comm: "on") == ["on"]
    capsys.readouterr()


def test_a_caller_that_cannot_be_written_to_ends_the_task():
    class Closed(io.StringIO):
        def write(self, text):
            raise BrokenPipeError("nobody reads")

    def work(comm):
        print("hello")
        comm.barrier()

    with parallel.Pool(workers=2) as pool:
        with contextlib.redirect_stdout(Closed()), pytest.raises(BrokenPipeError, match="nobody reads"):
            pool.run(work)
        assert pool.run(lambda comm: comm.rank) == [0, 1]


def test_all_ranks_of_a_caller_that_cannot_be_written_to_are_ended():
    """Also when what each of them still has to say is not accepted either."""

    class Closed(io.StringIO):
        def write(self, text):
            time.sleep(0.05)  # time for the others to write
            raise BrokenPipeError("nobody reads")

    def work(comm):
        comm.barrier()
        print("hello")
        comm.barrier()
        time.sleep(20)

    started = time.monotonic()
    with contextlib.redirect_stdout(Closed()), pytest.raises(BrokenPipeError, match="nobody reads") as caught:
        parallel.launch(work, workers=4)
    assert time.monotonic() - started < 10
    assert caught.traceback  # what it holds is held on to here: the crew. All the same, nothing may be left
    found = subprocess.run(["pgrep", "-P", str(os.getpid()), "-f", "ranks.worker"], capture_output=True, text=True)
    assert found.stdout == ""

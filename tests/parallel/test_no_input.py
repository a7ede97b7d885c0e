"""stdin is the caller's: a rank that wants to read it, or to stop in a debugger, is told so at once."""

import os
import subprocess
import sys

import cloudpickle
import pytest

from minipar import parallel
from tests.parallel.rank_programs import ROOT, failure_of

cloudpickle.register_pickle_by_value(sys.modules[__name__])
WORDS = (
    ", but stdin belongs to the process that started the ranks: ask there, and pass the answer as an argument. To "
    "debug, use workers=1 and backend='thread', where input() and breakpoint() work"
)


@pytest.mark.parametrize(
    ("ask", "did"),
    [
        (lambda comm: input("name? "), "read from stdin"),
        (lambda comm: sys.stdin.read(), "read from stdin"),
        (lambda comm: list(sys.stdin), "read from stdin"),
        (lambda comm: breakpoint(), "called breakpoint()"),
    ],
)
def test_who_asks_is_told_at_once(ask, did, capfd):
    error = failure_of(ask, workers=1)
    assert str(error).startswith(f"rank 0 raised RuntimeError: rank 0 {did}{WORDS}")
    assert "lambda" in error.remote_traceback
    assert "ranks/no_input.py" not in error.remote_traceback


def test_programs_of_a_rank_find_no_input():
    def work(comm):
        assert not sys.stdin.isatty()
        assert sys.stdin.fileno() == 0
        return subprocess.run(["cat"], capture_output=True, check=True).stdout

    assert parallel.launch(work) == [b"", b""]


def test_a_debugger_that_needs_no_stdin_is_called(monkeypatch):
    def work(comm):
        breakpoint("for you")
        sys.breakpointhook = lambda: "put in later"
        return breakpoint()

    monkeypatch.setenv("PYTHONBREAKPOINT", "builtins.len")
    assert parallel.launch(work, workers=1) == ["put in later"]
    monkeypatch.setenv("PYTHONBREAKPOINT", "0")
    assert parallel.launch(work, workers=1) == ["put in later"]


def test_what_the_error_advises():
    """The caller reads its own input; a rank that is a thread of it may, too."""
    code = (
        "from minipar import parallel\n"
        "def work(comm, name):\n    x = 40\n    breakpoint()\n    return x + comm.size, name, input()\n"
        "print(parallel.launch(work, input(), workers=1, backend='thread'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input="a line\np x + 2\nc\nanother\n", env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "(Pdb) 42" in done.stdout
    assert done.stdout.endswith("[(41, 'a line', 'another')]\n")

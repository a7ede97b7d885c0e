"""A rank that cannot answer by itself still says where it stands."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest

from minipar.parallel.comm.telling import intervals
from minipar.parallel.ranks import stacks
from minipar.parallel.ranks.errors import Failure, RankState
from minipar.parallel.ranks.stacks import Frame, ProcessStack, ThreadStack

ROOT = Path(__file__).parents[2]

WORKER = """
import sys
sys.path[:0] = [{root!r}]
from minipar.parallel.ranks import stacks
stacks.answer(int(sys.argv[1]))

def step():
    print("ready", flush=True)
    {stuck}

def tr\u00e4in():
    step()

tr\u00e4in()
"""


@pytest.fixture
def stuck(tmp_path):
    """A function that starts a process which gets stuck, and returns it and its stack."""
    started = []

    def start(statement):
        script = tmp_path / "träin ☺.py"
        script.write_text(WORKER.format(root=str(ROOT), stuck=statement), encoding="utf-8")
        stack = ProcessStack()
        command = [sys.executable, str(script), str(stack.descriptor)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=[stack.descriptor])
        started.append((process, stack))
        stack.pid = process.pid
        assert process.stdout.readline() == b"ready\n"
        return process, stack

    yield start
    for process, stack in started:
        process.kill()
        process.communicate()
        stack.close()


@pytest.mark.parametrize(
    "statement",
    [
        "while True: pass",
        "sum(__import__('itertools').repeat(1))",  # never lets go of the interpreter lock
        "__import__('time').sleep(60)",
        "__import__('threading').Event().wait()",
    ],
)
def test_a_stuck_process_says_where(stuck, statement):
    process, stack = stuck(statement)
    time.sleep(0.05)
    for _ in range(3):
        started = time.monotonic()
        stack.ask()
        frames = stacks.of_user(stack.frames())
        assert time.monotonic() - started < 0.3
        assert [frame.function for frame in frames if frame.is_users()] == ["<module>", "träin", "step"]
        assert stacks.place(frames) == "träin ☺.py:9 in step"
        assert statement in stacks.text(frames)
    assert process.poll() is None


def test_a_stopped_process_gives_none_soon(stuck):
    process, stack = stuck("while True: pass")
    process.send_signal(signal.SIGSTOP)
    while not stack.is_stopped():
        time.sleep(0.01)
    started = time.monotonic()
    stack.ask()
    assert stack.frames() == []
    assert time.monotonic() - started < 0.3
    process.send_signal(signal.SIGCONT)
    time.sleep(0.1)
    assert not stack.is_stopped()
    stack.ask()
    assert stack.frames()


def test_several_are_asked_before_any_is_heard(stuck):
    processes = [stuck("while True: pass") for _ in range(3)]
    processes[1][0].send_signal(signal.SIGSTOP)
    for _, stack in processes:
        stack.ask()
    assert [len(stack.frames()) for _, stack in processes] == [3, 0, 3]


def test_a_process_that_is_not_ready_survives_the_question():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    stack = ProcessStack()
    stack.pid = process.pid
    stack.ask()
    assert stack.frames() == []
    process.communicate(b"\n")
    assert process.returncode == 0
    stack.ask()  # it has gone
    assert stack.frames() == []
    assert not stack.is_stopped()
    stack.close()


def test_a_crash_says_where(stuck):
    process, stack = stuck("__import__('ctypes').string_at(0)")
    assert process.wait() == -signal.SIGSEGV
    failure = Failure.of_death(3, "running user code", -signal.SIGSEGV, stack.crash())
    assert str(failure.error()).startswith("rank 3 was killed by SIGSEGV, while it was running user code\n\nStack of ")
    assert "träin ☺.py" in failure.remote_traceback
    assert failure.remote_traceback.count("in step\n") == 1


def test_no_crash_no_stack(stuck):
    process, stack = stuck("while True: pass")
    stack.ask()
    assert stack.frames()
    process.kill()
    process.wait()
    assert stack.crash() == []


def test_a_thread_is_looked_at_when_asked():
    go, done = threading.Event(), threading.Event()

    def step():
        go.wait()
        done.wait()

    thread = threading.Thread(target=step)
    stack = ThreadStack(thread)
    stack.ask()
    assert stack.frames() == []  # not started
    thread.start()
    time.sleep(0.05)
    stack.ask()
    line = next(frame.line for frame in stack.frames() if frame.function == "step")
    go.set()
    time.sleep(0.05)
    assert stacks.place(stack.frames()) == f"test_stacks.py:{line} in step"
    stack.ask()
    assert stacks.place(stack.frames()) == f"test_stacks.py:{line + 1} in step"
    done.set()
    thread.join()
    stack.ask()
    assert stack.frames() == []


OWN = str(Path(stacks.__file__).parent)
WORKER_FILE, COMM_FILE = OWN + "/worker.py", OWN + "/comm/process.py"


def frames_of(*places):
    return [Frame(file, number, "f") for number, file in enumerate(places)]


@pytest.mark.parametrize(
    ("places", "kept"),
    [
        (["<string>", WORKER_FILE, "/a/train.py", "/a/step.py"], [2, 3]),
        (["<string>", WORKER_FILE, "/a/train.py", COMM_FILE, threading.__file__], [2]),
        (["<string>", WORKER_FILE, OWN + "/environment.py", "<frozen runpy>", "/a/train.py", os.__file__], [4, 5]),
        (["/a/train.py", OWN + "/environment.py", "/a/train.py", COMM_FILE, "/a/hook.py", COMM_FILE], [0, 2, 4]),
        ([threading.__file__, OWN + "/threads.py", "<string>"], [2]),
        (["<string>", WORKER_FILE, os.__file__], [2]),  # what was launched is a function of the library
        (["<string>", WORKER_FILE, COMM_FILE], []),
        ([], []),
    ],
)
def test_what_is_not_the_users_is_left_out(places, kept):
    frames = frames_of(*places)
    assert stacks.of_user(frames) == [frames[number] for number in kept]


def test_the_place_is_a_line_of_the_users_where_there_is_one():
    assert stacks.place(frames_of("/a/train.py", os.__file__)) == "train.py:0 in f"
    assert stacks.place(frames_of(os.__file__)) == "os.py:0 in f"
    assert stacks.place([]) == ""


# -- an exception ------------------------------------------------------------------------------------------------------


def raised_by(function, *arguments):
    try:
        function(*arguments)
    except Exception as error:
        return error


def broken(*arguments):
    """As if a line of minipar's went wrong."""
    return arguments[0].nothing


def refuse_all(*arguments):
    raise ValueError("no")


def calls_numpy(*arguments):
    np.zeros(3).reshape(2)


def on_the_way(function, *arguments):
    function(*arguments)


def as_own(function):
    """The function as if minipar had it."""
    return FunctionType(function.__code__.replace(co_filename=OWN + "/some.py"), globals())


@pytest.mark.parametrize(
    ("function", "arguments", "is_refusal", "is_within"),
    [
        (as_own(refuse_all), (), True, False),
        (as_own(broken), (3,), False, True),
        (as_own(calls_numpy), (), False, True),
        (refuse_all, (), False, False),
        (broken, (3,), False, False),
        (calls_numpy, (), False, False),
        (as_own(on_the_way), (refuse_all,), False, False),
        (as_own(on_the_way), (as_own(refuse_all),), True, False),
        (on_the_way, (as_own(broken), 3), False, True),
    ],
)
def test_minipar_refuses_on_purpose_or_is_in_trouble(function, arguments, is_refusal, is_within):
    place = raised_by(function, *arguments).__traceback__
    assert (stacks.is_refusal(place), stacks.is_within(place)) == (is_refusal, is_within)


def told_of(function):
    return Failure.of_exception(0, "running user code", raised_by(function)).remote_traceback


def test_lines_of_minipar_are_left_out_of_what_it_refuses():
    refused = told_of(lambda: as_own(refuse_all)(3))
    assert "as_own(refuse_all)(3)" in refused
    assert "some.py" not in refused
    assert "some.py" in told_of(lambda: as_own(broken)(3))


def test_lines_of_minipar_are_left_out_between_those_of_the_user():
    def layer():
        raise ValueError("in the user's layer")

    told = told_of(lambda: as_own(on_the_way)(layer))
    assert told.index("as_own(on_the_way)(layer)") < told.index("in layer")
    assert "some.py" not in told


def test_lines_of_minipar_are_left_out_of_what_led_to_an_exception():
    def step():
        try:
            as_own(refuse_all)()
        except ValueError as error:
            raise KeyError("step") from error

    told = told_of(step)
    assert told.count("in step") == 2
    assert "direct cause" in told
    assert "some.py" not in told


@pytest.mark.parametrize(
    ("function", "arguments", "hidden"),
    [
        (as_own(refuse_all), (), True),
        (as_own(on_the_way), (as_own(refuse_all),), True),
        (as_own(broken), (3,), False),
        (as_own(on_the_way), (refuse_all,), False),
        (
            as_own(on_the_way),
            (on_the_way, as_own(refuse_all)),
            False,
        ),  # in place, by way of the user
    ],
)
def test_a_refusal_is_told_where_the_user_has_called(function, arguments, hidden):
    error = raised_by(function, *arguments)
    error.__traceback__ = error.__traceback__.tb_next  # from the called function on
    stacks.hide_own_lines(error)
    assert (error.__traceback__ is None) == hidden


# -- the text of an error ----------------------------------------------------------------------------------------------


def test_an_error_tells_of_all_ranks_and_of_equal_ones_once():
    waiting = [RankState(rank, "in barrier #2", "train.py:40 in step") for rank in (0, 3, 4, 5, 7)]
    stuck = [RankState(rank, "running user code", "train.py:44 in load", stack="  File 1") for rank in (2, 8)]
    alike = [RankState(6, "in barrier #2", "", "raised ValueError: boom")]
    other = [RankState(9, "in barrier #1", "train.py:1 in f", "raised KeyError: 'k'")]
    failure = Failure(1, "raised ValueError: boom", "starting", remote_traceback="Traceback…", is_timeout=True)
    error = failure.error([*waiting, *stuck, *alike, *other])
    assert str(error) == (
        "rank 1 raised ValueError: boom, while it was starting\n\n"
        "Traceback of rank 1:\nTraceback…\n\n"
        "The other ranks:\n"
        "  ranks 0, 3-5, 7: in barrier #2, at train.py:40 in step\n"
        "  ranks 2, 8: running user code, at train.py:44 in load\n"
        "  rank 6: failed in the same way, in barrier #2\n"
        "  rank 9: raised KeyError: 'k', in barrier #1, at train.py:1 in f\n\n"
        "Stack of ranks 2, 8, stuck (most recent call last):\n  File 1"
    )
    assert [state.rank for state in error.ranks] == [0, 3, 4, 5, 7, 2, 8, 6, 9]


def test_two_ranks_are_no_interval():
    assert intervals([5, 1, 2, 7, 6, 8]) == "1, 2, 5-8"

"""`minipar bench --comm`: ranks that answer, ranks that fail in every way, and what the bars say of given times."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Listener
from pathlib import Path

import numpy as np
import pytest

from minipar import bench
from minipar.bench import comm
from minipar.bench.comm import bars, comparison, contest, crew, pool_times, rank, span_cost
from minipar.bench.comm.contenders import PYTHONS, Contender, contenders, mpi, own
from minipar.bench.comm.contest import Contest
from minipar.bench.comm.crew import Crew
from minipar.bench.comm.rank import Runtime, Work
from minipar.bench.cpu_clock import reading
from minipar.bench.racer import ContenderError
from minipar.bench.summary import Block, Row

# A rank whose every call takes 1 ms; tests break it. Arguments: address, rank.
SCRIPT = """
import os, sys, time
from multiprocessing.connection import Client
address, rank = sys.argv[1], int(sys.argv[2])
channel = Client(address)
channel.send({"rank": rank, "pid": os.getpid(), "version": "1.0"})
while True:
    try:
        mode, nbytes, repeats = channel.recv()
    except EOFError:
        break
    channel.send([(1 + rank) * 1e-3] * repeats)
"""


def scripted(name="good", script=SCRIPT, modes=("in place",)):
    def commands(size, address):
        return [[sys.executable, "-c", script, address, str(number)] for number in range(size)]

    return Contender(name, modes, commands, {})


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(contest, "PATIENCE", 0.0)
    monkeypatch.setattr(contest, "ENOUGH", 1)
    monkeypatch.setattr(contest, "ROUNDS", 2)
    monkeypatch.setattr(contest, "BLOCK_SECONDS", 0.01)
    monkeypatch.setattr(contest, "SIZES", {"barrier": 0, "4 KB": 4096})


# ── a crew ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_slowest_rank_counts():
    with Crew(scripted(), 3) as one:
        one.greet()
        assert one.version == "1.0"
        assert len(set(one.pids)) == 3
        assert one.run("in place", 4096, 2) == [3e-3, 3e-3]
    assert [process.returncode for process in one._processes] == [0, 0, 0]


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("raise SystemExit('no such runtime')", "a rank ended with exit code 1: no such runtime"),
        ("import os; os.abort()", "by SIGABRT"),
        ("import time; time.sleep(60)", "not all ranks were ready"),
        (SCRIPT.replace('"version": "1.0"', '"error": "too old"'), "too old"),
    ],
)
def test_a_crew_that_does_not_start_says_why(script, says, monkeypatch):
    monkeypatch.setattr(crew, "START_LIMIT", 1.0)
    monkeypatch.setattr(crew, "EXIT_LIMIT", 0.1)
    with Crew(scripted(script=script), 2) as one, pytest.raises(ContenderError, match=says):
        one.greet()
    assert None not in [process.returncode for process in one._processes]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        ("sys.exit('gone')", "a rank ended with exit code 1: gone"),
        ("channel.send({'error': 'rank 1: the sum is wrong'})", "the sum is wrong"),
        ("time.sleep(60)", "no answer within"),
    ],
)
def test_a_rank_that_fails_is_told_of_though_the_others_wait(answer, says, monkeypatch):
    monkeypatch.setattr(crew, "BLOCK_LIMIT", 1.0)
    monkeypatch.setattr(crew, "EXIT_LIMIT", 0.1)
    broken = SCRIPT.replace("    channel.send([", f"    {answer} if rank else time.sleep(60)\n    channel.send([")
    start = time.monotonic()
    with Crew(scripted(script=broken), 2) as one:
        one.greet()
        with pytest.raises(ContenderError, match=says):
            one.run("in place", 4096, 2)
    assert time.monotonic() - start < 10
    assert None not in [process.returncode for process in one._processes]


def test_a_command_that_cannot_be_run_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(FileNotFoundError):
        Crew(Contender("none", (), lambda size, address: [["/no/such/program"]], {}), 2)
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_while_ranks_leave_is_not_lost():
    stubborn = Crew(scripted(script=SCRIPT.replace("        break", "        time.sleep(60)")), 2)

    def greet_and_leave():
        with stubborn:
            stubborn.greet()
            threading.Timer(0.3, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        greet_and_leave()
    assert time.monotonic() - start < crew.EXIT_LIMIT
    assert None not in [process.returncode for process in stubborn._processes]


# ── a rank ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def alone(all_reduce):
    """A runtime of one rank whose `all_reduce(array)` is tested; its sum is the array itself."""

    def in_place(nbytes):
        array = np.empty(nbytes // 4, np.float32)
        return Work(array, lambda: all_reduce(array))

    return Runtime(0, 1, "1.0", lambda: None, {"in place": in_place})


def answers(runtime, tmp_path, *orders):
    """What `serve` says in answer to these orders."""
    address = str(tmp_path / "door")
    said = []
    with Listener(address) as listener:
        serving = threading.Thread(target=lambda: _served(runtime, address))
        serving.start()
        with listener.accept() as channel:
            said.append(channel.recv())
            for order in orders:
                channel.send(order)
                said.append(channel.recv())
        serving.join(10)
    return said


def _served(runtime, address):
    with suppress(ArithmeticError):  # of which `serve` has told the bench
        rank.serve(runtime, address)


def test_a_rank_answers_with_the_seconds_of_each_repeat(tmp_path):
    calls = []
    hello, seconds, again, meetings = answers(
        alone(calls.append), tmp_path, ("in place", 4096, 4), ("in place", 8192, 2), ("barrier", 0, 3)
    )
    assert (hello["rank"], hello["version"]) == (0, "1.0")
    assert [len(answer) for answer in (seconds, again, meetings)] == [4, 2, 3]
    assert all(0 <= second < 0.1 for second in seconds)
    assert [array.nbytes for array in calls] == [4096] * (1 + rank.WARM_UP + 4) + [8192] * (1 + rank.WARM_UP + 2)


def test_a_fast_wrong_sum_is_no_result(tmp_path):
    def forgets_the_last(array):
        array[-1] = 0

    _, error = answers(alone(forgets_the_last), tmp_path, ("in place", 4000, 4))
    assert error == {"error": "rank 0: ArithmeticError: the sum of 4000 bytes is wrong"}


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_the_bound_adds_and_copies_a_share(size):
    work = rank.bound(size, 1 << 20)
    assert work.array.shape == (size, (1 << 18) // size)
    work.array[...] = np.arange(size)[:, None] + 1
    work.run()
    assert (work.array == size * (size + 1) / 2).all()


def test_minipar_answers_in_all_its_modes():
    with Crew(own(), 2) as one:
        one.greet()
        for mode in own().modes:
            assert len(one.run(mode, 4096, 3)) == 3
        assert all(seconds < 0.1 for seconds in one.run("barrier", 0, 3))


def test_gloo_answers():
    pytest.importorskip("torch", reason='needs torch: pip install ".[oracle]"')
    gloo = next(one for one in contenders()[0] if one.name == "gloo")
    with Crew(gloo, 2) as one:
        one.greet()
        assert one.version.startswith("torch ")
        assert len(one.run("in place", 4096, 3)) == 3
        assert len(one.run("barrier", 0, 3)) == 3


def test_mpi_answers():
    pytest.importorskip("mpi4py", reason='needs mpi4py: pip install ".[mpi]"')
    one = mpi(sys.executable)
    assert isinstance(one, Contender), one
    with Crew(one, 2) as ranks:
        ranks.greet()
        assert one.name.split()[0] in ranks.version
        assert len(ranks.run("in place", 4096, 3)) == 3


# ── who takes part ────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def fake_mpi(tmp_path):
    """A function that makes an environment whose interpreter says that its MPI is called so."""

    def make(folder, name, mpiexec=True):
        where = tmp_path / folder
        where.mkdir()
        for program, line in (("python", f"echo '{name}'"), ("mpiexec", "exit 1")):
            if program == "python" or mpiexec:
                (where / program).write_text(f"#!/bin/sh\n{line}\n")
                (where / program).chmod(0o755)
        return str(where / "python")

    return make


def test_mpis_come_from_the_command_line_and_from_the_environment(fake_mpi, monkeypatch):
    one, two = fake_mpi("a", "MPICH"), fake_mpi("b", "Open MPI")
    monkeypatch.setenv(PYTHONS, two)
    monkeypatch.setattr("minipar.bench.comm.contenders.find_spec", lambda name: None)
    found, missing = contenders([one])
    assert [contender.name for contender in found] == ["minipar", "MPICH", "Open MPI"]
    command = found[1].commands(4, "/the/door")[0]
    assert command[:3] == [str(Path(one).with_name("mpiexec")), "-n", "4"]
    assert command[-2:] == ["/the/door", "mpi"]
    assert found[1].environment["PATH"].startswith(str(Path(one).parent))
    assert len(missing) == 1
    assert "gloo" in missing[0]


def test_an_mpi_that_cannot_take_part_is_said(fake_mpi, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("minipar.bench.comm.contenders.find_spec", lambda name: None)
    same, without = fake_mpi("a", "MPICH"), fake_mpi("c", "Open MPI", mpiexec=False)
    found, missing = contenders([same, fake_mpi("b", "MPICH"), without, str(tmp_path / "none"), sys.executable])
    assert [contender.name for contender in found][:2] == ["minipar", "MPICH"]
    assert "a second MPICH" in missing[1]
    assert "no mpiexec" in missing[2]
    assert "No such file" in missing[3]
    assert contenders()[1][-1].startswith("no rows for MPI: name interpreters")


# ── the contest ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_blocks_in_turn_and_every_row(impatient):
    shown = []
    found = contest.hold(
        2,
        [scripted("minipar", modes=("registered", "private")), scripted("gloo")],
        lambda contest, size: shown.append(size),
    )
    assert shown == ["barrier", "4 KB"]
    assert list(found.rows["barrier"]) == ["minipar", "gloo"]
    assert list(found.rows["4 KB"]) == ["minipar registered", "minipar private", "gloo"]
    assert all(row.median == 2e-3 for row in found.rows["4 KB"].values())
    assert found.versions == {"minipar": "1.0", "gloo": "1.0"}
    assert found.errors == {}


def test_whoever_fails_keeps_what_it_has_and_the_others_go_on(impatient, monkeypatch):
    monkeypatch.setattr(crew, "EXIT_LIMIT", 0.1)
    fails = SCRIPT.replace("    channel.send([", "    nbytes and sys.exit('too large')\n    channel.send([")
    never = "raise SystemExit('not here')"
    found = contest.hold(
        2,
        [scripted("minipar"), scripted("fails", fails, ("one", "two")), scripted("never", never)],
        lambda contest, size: None,
    )
    assert found.rows["barrier"]["fails"].median == 2e-3
    assert "too large" in found.rows["4 KB"]["fails one"].error
    assert found.rows["4 KB"]["fails two"].blocks == []
    assert found.rows["4 KB"]["minipar"].blocks
    assert "never" not in found.rows["barrier"]
    assert set(found.errors) == {"fails", "never"}


# ── the bars ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def rows(foreign=0.0, **seconds):
    """Names of rows, with _ for a space, and their times."""
    found = {name.replace("_", " "): time for name, time in seconds.items()}
    return {name: Row(name, blocks=[Block(time, time, foreign)] * 7) for name, time in found.items()}


GOOD = {"minipar_registered": 1.0, "minipar_private": 6.0, "minipar_bound": 0.9}
OTHERS = {"gloo": 8.5, "MPICH": 3.0, "Open_MPI": 2.5}


def answered(size, ranks=2, **seconds):
    found = Contest(ranks, rows={size: rows(**seconds)})
    return {verdict.what.partition(": ")[2] or verdict.what: verdict.answer for verdict in bars.verdicts(found)}


def test_all_bars_of_one_size():
    assert answered("1 MB", **GOOD, **OTHERS) == {
        "registered, times as fast as gloo": "met",
        "registered, times as fast as better MPI (Open MPI)": "met",
        "registered, time over the memory bound": "met",
        "private, times as fast as gloo": "met",
    }


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({"gloo": 7.9}, "registered, times as fast as gloo"),
        ({"MPICH": 1.9}, "registered, times as fast as better MPI (MPICH)"),
        ({"minipar_bound": 0.7}, "registered, time over the memory bound"),
        ({"minipar_private": 8.6}, "private, times as fast as gloo"),
    ],
)
def test_each_bar_can_be_missed(changed, missed):
    found = answered("1 MB", **{**GOOD, **OTHERS, **changed})
    assert [what for what, answer in found.items() if answer == "NOT met"] == [missed]


def test_small_arrays_may_take_half_as_long_again_as_mpi():
    assert answered("4 KB", minipar_registered=1.5, MPICH=1.01)["registered, times as fast as better MPI (MPICH)"] == (
        "met"
    )
    assert "NOT met" in answered("4 KB", minipar_registered=1.6, MPICH=1.0).values()


def test_four_ranks_have_the_bars_of_four():
    assert answered("100 MB", ranks=4, **GOOD, **OTHERS) == {
        "registered, times as fast as better MPI (Open MPI)": "met",
        "private, times as fast as gloo": "met",
    }


def test_a_barrier_is_measured_in_microseconds():
    assert answered("barrier", minipar=1.9e-6) == {"2 ranks, barrier": "met"}
    assert answered("barrier", minipar=2.1e-6) == {"2 ranks, barrier": "NOT met"}
    assert answered("barrier", ranks=4, minipar=2.1e-6) == {}


def test_what_was_not_measured_in_quiet_has_no_verdict():
    found = Contest(2, rows={"barrier": rows(1.0, minipar=1e-6), "1 MB": rows(1.0, **GOOD, **OTHERS)})
    assert {verdict.answer for verdict in bars.verdicts(found)} == {"–"}


# ── the command ───────────────────────────────────────────────────────────────────────────────────────────────────────


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser(prog="minipar bench")
    bench.add_arguments(parser)
    return bench.run(parser.parse_args(arguments))


@pytest.fixture
def fakes(impatient, monkeypatch):
    everybody = [scripted("minipar", modes=own().modes), scripted("gloo"), scripted("MPICH")]
    asked = []
    monkeypatch.setattr(comparison, "contenders", lambda pythons: (asked.extend(pythons) or everybody, ["no Open MPI"]))
    start, trip = (Row(name, blocks=[Block(time, time, 0.0)]) for name, time in (("start", 0.5), ("round trip", 1e-3)))
    monkeypatch.setattr(pool_times, "measure", lambda: (start, trip))
    monkeypatch.setattr(span_cost, "measure", lambda: span_cost.SpanCost(1e-7, 5e-7, 1e-6, 1e-3, 4, 3))
    return asked


def test_the_run_and_its_files(fakes, tmp_path, capsys):
    json_file, markdown_file = tmp_path / "out.json", tmp_path / "out.md"
    asked = ("--ranks", "2", "--ranks", "3", "--mpi", "a/python", "--json", json_file, "--markdown", markdown_file)
    assert run("--comm", *map(str, asked)) == 0
    assert fakes == ["a/python"]
    shown = capsys.readouterr().out
    assert "2 ranks\n" in shown
    assert "minipar registered" in shown
    assert "no Open MPI" in shown
    found = json.loads(json_file.read_text())
    assert [one["ranks"] for one in found["contests"]] == [2, 3]
    assert found["contests"][1]["rows"]["4 KB"]["gloo"]["blocks"][0]["median"] == 3e-3
    assert found["spans"]["share"] == pytest.approx(0.005)
    answers = {bar["what"]: bar["answer"] for bar in found["bars"]}
    assert answers["pool of 2 workers: round trip"] == "met"
    assert answers["timeline: share of a recorded step of W3, 2 ranks"] == "met"
    page = markdown_file.read_text()
    assert "| 4 KB | minipar registered | 2 ms |" in page
    assert "## 3 ranks" in page


def test_a_contender_that_fails_is_the_exit_code(fakes, monkeypatch, capsys):
    broken = [scripted("minipar", modes=own().modes), scripted("gloo", "raise SystemExit('no gloo')")]
    monkeypatch.setattr(comparison, "contenders", lambda pythons: (broken, []))
    assert run("--comm", "--ranks", "2") == 1
    assert "gloo failed: a rank ended with exit code 1: no gloo" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--comm", "--ranks", "1"), "a rank alone"),
        (("--ranks", "2"), "belong to --comm"),
        (("--mpi", "python"), "belong to --comm"),
        (("--comm", "W1"), "--comm takes no workloads"),
        (("--comm", "--seconds", "3"), "leave --seconds out"),
        (("--comm", "--against", "torch"), "leave --against out"),
    ],
)
def test_what_does_not_go_together_is_refused(arguments, says, capsys):
    assert run(*arguments) == 2
    assert says in capsys.readouterr().err


def test_the_default_is_two_and_four_ranks(monkeypatch):
    asked = []

    class Found:
        failed = False
        data = staticmethod(dict)
        markdown = staticmethod(str)

    monkeypatch.setattr(comm, "measure", lambda ranks, pythons: asked.append((ranks, pythons)) or Found())
    assert run("--comm") == 0
    assert asked == [((2, 4), ())]


def test_a_pool_starts_and_runs(monkeypatch):
    monkeypatch.setattr(pool_times, "POOLS", 2)
    monkeypatch.setattr(pool_times, "ENOUGH", 2)
    monkeypatch.setattr(pool_times, "ROUND_TRIPS", 5)
    starts, trips = pool_times.measure()
    assert len(starts.blocks) == len(trips.blocks) == 2
    assert 0 < trips.median < starts.median < 60


@pytest.mark.skipif(not Path("/proc/stat").exists(), reason="nothing is known of other processes' time without /proc")
def test_the_time_of_workers_is_not_that_of_others(monkeypatch):
    monkeypatch.setattr(pool_times, "ROUND_TRIPS", 1)
    before, alone = pool_times._reading(), reading(os.getpid())
    pool_times._one_pool()
    after, still_alone = pool_times._reading(), reading(os.getpid())
    of_workers = (after.own - before.own) - (still_alone.own - alone.own)
    assert of_workers > 0.05, "two processes have imported NumPy"


def test_spans_are_counted_and_weighed():
    found = span_cost.measure()
    assert found.calls >= 1
    assert 0 < found.off < found.on < 1e-3
    assert found.share == (found.spans * found.on + found.calls * found.call) / found.step

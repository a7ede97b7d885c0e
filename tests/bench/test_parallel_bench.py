"""`minipar bench --parallel`: ranks that take steps, a small contest, and what the bars say of given times."""

from __future__ import annotations

import argparse
import json
import sys
import threading
from multiprocessing.connection import Listener

import numpy as np
import pytest

import minipar
from minipar import bench, parallel
from minipar.bench.comm.contenders import Contender
from minipar.bench.comm.crew import Crew
from minipar.bench.parallel import bars, comparison, contest, own, rank, splits
from minipar.bench.parallel.contest import ALONE, DDP, HALVES, IDEAL, SPLIT, THREADS, TOGETHER, Contest
from minipar.bench.parallel.splits import Split
from minipar.bench.summary import Block, Row
from minipar.parallel import Layout

# A rank whose every step takes 1 ms, and twice that on the second rank; tests break it. Arguments: address, rank.
SCRIPT = """
import os, sys
from multiprocessing.connection import Client
address, rank = sys.argv[1], int(sys.argv[2])
channel = Client(address)
channel.send({"rank": rank, "pid": os.getpid(), "version": "1.0"})
while True:
    try:
        kind, subject, layout, repeats = channel.recv()
    except EOFError:
        break
    each = [1e-3, 2e-3, 5e-4] if kind == "stages" else (1 + rank) * 1e-3
    channel.send([each] * repeats if repeats else [1.5, 1.0])
"""


def scripted(name, script=SCRIPT):
    def commands(size, address):
        return [[sys.executable, "-c", script, address, str(number)] for number in range(size)]

    return Contender(name, (), commands, {})


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(contest, "PATIENCE", 0.0)
    monkeypatch.setattr(contest, "ENOUGH", 1)
    monkeypatch.setattr(contest, "ROUNDS", 1)
    monkeypatch.setattr(contest, "BLOCK_SECONDS", 0.01)


# ── ranks ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_rank_makes_its_steps_once_for_each_subject_and_layout(tmp_path):
    made = []

    def build(kind, subject, layout):
        made.append((kind, subject, layout))
        losses = iter(range(9, 0, -1))
        return rank.steps(lambda: next(losses))

    orders = [("split", "W1", "data=2", 0), ("split", "W1", "data=2", 2), ("split", "W1", "tensor=2", 0)]
    said = []
    with Listener(str(tmp_path / "door")) as listener:
        serving = threading.Thread(target=rank.serve, args=(0, "1.0", build, str(tmp_path / "door")))
        serving.start()
        with listener.accept() as channel:
            said.append(channel.recv()["version"])
            for order in orders:
                channel.send(order)
                said.append(channel.recv())
        serving.join(10)
    assert said[:2] == ["1.0", [9.0, 8.0, 7.0]]
    assert [0 <= seconds < 0.1 for seconds in said[2]] == [True, True]
    assert said[3] == [9.0, 8.0, 7.0]
    assert made == [("split", "W1", "data=2"), ("split", "W1", "tensor=2")]


def test_minipar_and_pytorch_train_the_same():
    """One crew of each; the layouts of all bars."""
    with Crew(contest.own(2, 1), 2) as own:
        own.greet()
        alone = own.ask("alone", "W2a", "data=2", 0)
        assert alone[1] == []
        for layout in ("data=2", "data=2,zero=1", "pipeline=2,microbatches=8", "tensor=2"):
            assert own.ask("split", "W2a", layout, 0) == [pytest.approx(alone[0], rel=1e-5)] * 2
        assert len(own.ask("alone", "W2a", "tensor=2", 2)[0]) == 2
        assert own.ask("alone", "W2a", "tensor=2", 2)[1] == [0.0, 0.0]
        for forward, backward, update in own.ask("stages", "W2a", "pipeline=2,microbatches=8", 1)[1]:
            assert min(forward, backward, update) > 0
        pytest.importorskip("torch", reason='needs torch: pip install ".[oracle]"')
        with Crew(contest.ddp(), 2) as theirs:
            theirs.greet()
            losses = theirs.ask("split", "W2a", "data=2", 0)
            assert [sum(each) / 2 for each in zip(*losses)] == pytest.approx(alone[0], rel=1e-5)


def test_the_network_for_large_images_fits_them():
    net = splits.SUBJECTS[splits.LARGE].model(minipar)
    assert [type(layer).__name__ for layer in net] == [
        *("Conv2d", "ReLU", "MaxPool2d", "Conv2d", "ReLU", "MaxPool2d", "Flatten", "Linear")
    ]
    x, _ = splits.SUBJECTS[splits.LARGE].batch(np.random.default_rng(0))
    assert x.shape == (4, 1, 224, 224)
    assert net[-1].in_features == 64 * (x.shape[-1] // 4) ** 2


# ── the contest ───────────────────────────────────────────────────────────────────────────────────────────────────────

EVERYTHING = Split("W1", "pipeline=2,microbatches=8", 0.9, 0.9, 1.5, 1.1)


def held(script=SCRIPT, **others):
    crews = {SPLIT: (scripted("2 × 1", script), 2), THREADS: (scripted("1 × 2"), 1), DDP: (scripted(DDP), 2), **others}
    shown = []
    found = contest.hold([EVERYTHING], crews, lambda contest, split: shown.append(split))
    assert shown == [EVERYTHING]
    return found


def test_what_each_row_counts():
    found = held()
    times = {name: row.median for name, row in found.rows[EVERYTHING].items()}
    assert times == {
        ALONE: 2e-3,  # (here the second rank does not sleep)
        TOGETHER: pytest.approx(1e-3 / 1.5),
        SPLIT: 2e-3,
        THREADS: 1e-3,
        DDP: 2e-3,
        IDEAL: pytest.approx((8 + 1) * 3e-3 + 5e-4),  # 1F1B of equal stages: m + p - 1 times a forward and a backward
    }
    assert found.versions == {SPLIT: "1.0", THREADS: "1.0", DDP: "1.0"}
    assert not found.errors


def test_a_share_of_the_batch_is_trained_without_the_others():
    def halves(comm):
        work = own.build(comm, "halves", "W1", "data=2")
        return work.repeat(), work.losses

    for seconds, losses in parallel.launch(halves, workers=2, backend="thread"):
        assert 0 < seconds < 10
        assert losses == []  # of other batches than the others'


def test_the_ideal_follows_the_slower_stage():
    layout = Layout.parse("pipeline=2,microbatches=4")
    assert contest.ideal(layout, [(1.0, 1.0, 0.0), (2.0, 3.0, 0.5)]) == 1.0 + 4 * 5.0 + 1.0 + 0.5


def test_whoever_trains_something_else_is_no_result():
    found = held(script=SCRIPT.replace("[1.5, 1.0]", "[1.5, 1.0 + (kind == 'split')]"))
    assert "wrong: the loss of step 2 is 2" in found.rows[EVERYTHING][SPLIT].error
    assert not found.rows[EVERYTHING][TOGETHER].error
    answers = {verdict.answer for verdict in bars.verdicts(found)}
    assert answers == {"–"}


def test_a_crew_that_fails_takes_no_further_part():
    broken = SCRIPT.replace("    each =", "    kind == 'split' and sys.exit('gone')\n    each =")
    found = held(**{DDP: (scripted(DDP, broken), 2)})
    assert found.errors == {DDP: "a rank ended with exit code 1: gone"}
    assert found.rows[EVERYTHING][SPLIT].blocks


# ── the bars ──────────────────────────────────────────────────────────────────────────────────────────────────────────

GOOD = {ALONE: 1.0, TOGETHER: 0.55, SPLIT: 0.58, THREADS: 0.57, DDP: 0.9, IDEAL: 0.53}


def answered(foreign=0.0, **changed):
    rows = {name: Row(name, blocks=[Block(time, time, foreign)] * 7) for name, time in {**GOOD, **changed}.items()}
    found = Contest(rows={EVERYTHING: rows})
    return {verdict.what.partition(": ")[2]: verdict.answer for verdict in bars.verdicts(found)}


def test_every_bar_can_be_met_and_missed():
    names = {
        TOGETHER: "times as fast as 1 worker, over C",
        THREADS: "times as fast as 1 worker with 2 threads",
        IDEAL: "time over its schedule's ideal",
        DDP: "times as fast as PyTorch's DDP",
    }
    assert answered() == dict.fromkeys(names.values(), "met")
    for row, less in ((TOGETHER, 0.52), (THREADS, 0.52), (IDEAL, 0.52), (DDP, 0.86)):
        assert [what for what, answer in answered(**{row: less}).items() if answer == "NOT met"] == [names[row]]


def test_what_was_not_measured_in_quiet_has_no_verdict():
    assert set(answered(foreign=1.0).values()) == {"–"}


def test_the_splits_have_the_rows_that_their_bars_need():
    for split in splits.SPLITS:
        assert split.subject in splits.SUBJECTS
        assert Layout.parse(split.layout).ranks == splits.RANKS
        names = [entry.row for entry in contest.entries(split)]
        assert (HALVES in names) == split.layout.startswith("data=2")
        assert (THREADS in names, DDP in names, IDEAL in names) == (
            split.of_threads is not None,
            split.of_ddp is not None,
            split.of_ideal is not None,
        )


# ── the command ───────────────────────────────────────────────────────────────────────────────────────────────────────


def run(*arguments):
    parser = argparse.ArgumentParser(prog="minipar bench")
    bench.add_arguments(parser)
    return bench.run(parser.parse_args([str(argument) for argument in arguments]))


def test_the_run_and_its_files(monkeypatch, tmp_path, capsys):
    crews = {SPLIT: (scripted("2 × 1"), 2), THREADS: (scripted("1 × 2"), 1)}
    monkeypatch.setattr(comparison, "contenders", lambda: (crews, ["no rows for DDP: not here"]))
    json_file, markdown_file = tmp_path / "out.json", tmp_path / "out.md"
    assert run("--parallel", "--json", json_file, "--markdown", markdown_file) == 0
    shown = capsys.readouterr().out
    assert "W2c, pipeline=2,microbatches=8: time over its schedule's ideal" in shown
    assert "no rows for DDP: not here" in shown
    found = json.loads(json_file.read_text())
    assert [split["layout"] for split in found["splits"]] == [split.layout for split in splits.SPLITS]
    assert all({"what", "found", "wanted", "answer"} <= set(bar) for bar in found["bars"])
    assert len(found["splits"][0]["rows"][0]["blocks"]) == 1
    page = markdown_file.read_text()
    assert "## W3, data=2" in page
    assert "| 2 unrelated |" in page
    assert "no rows for DDP" in page


def test_a_failure_makes_the_exit_code_1(monkeypatch, capsys):
    crews = {SPLIT: (scripted("2 × 1", "raise SystemExit('no')"), 2)}
    monkeypatch.setattr(comparison, "contenders", lambda: (crews, []))
    assert run("--parallel") == 1
    assert "split failed: a rank ended with exit code 1: no" in capsys.readouterr().out


def test_it_takes_no_workloads(capsys):
    assert run("--parallel", "W3") == 2
    assert "--parallel takes no workloads, got W3" in capsys.readouterr().err

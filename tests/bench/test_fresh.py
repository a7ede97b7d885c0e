"""Memory and start-up, measured in new processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import minipar
from minipar.arguments import CommandFailed
from minipar.bench import all_results, fresh, memory_probe
from minipar.bench.fresh import Findings
from minipar.bench.workloads import ordinary_step, prepare

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")


def test_its_processes_keep_bytecode_also_where_this_one_does_not(monkeypatch):
    monkeypatch.setattr(os, "environ", {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    assert fresh.seconds("import sys; assert not sys.dont_write_bytecode") > 0


PEAK = """
import os
from minipar.bench import memory_probe

exact = memory_probe.reset_peak()
level = memory_probe.kib("VmRSS")
block = bytearray(os.urandom(1 << 20)) * 48
del block
grown = memory_probe.kib("VmHWM") - level
assert grown >= 40 * 1024 or not exact, grown
if memory_probe.reset_peak():
    assert memory_probe.kib("VmHWM") < level + grown
"""


@linux
def test_the_peak_grows_by_what_is_allocated():
    """In a process of its own: what other tests have left would be freed in between."""
    subprocess.run([sys.executable, "-c", PEAK], check=True)


@linux
def test_a_probe_trains_the_subject(monkeypatch):
    monkeypatch.setattr(memory_probe, "ROWS", 16)
    monkeypatch.setattr(memory_probe, "DEPTH", 7)
    kept = memory_probe.probe(minipar, "deep")
    recomputed = memory_probe.probe(minipar, "deep-checkpoint")
    assert kept["loss"] == pytest.approx(recomputed["loss"], rel=1e-6)
    assert kept["seconds"] > 0


def test_the_small_batch_is_of_the_same_model():
    for subject in memory_probe.SUBJECTS:
        training = prepare(minipar, memory_probe.workload(subject, 2))
        assert training.x.shape[0] == 2
        assert ordinary_step(training)().item() > 0


def test_memory_is_a_table_with_its_bars(monkeypatch):
    growth = {("W3", "minipar"): 2, ("W3", "torch"): 4, ("deep", "minipar"): 8, ("deep-checkpoint", "minipar"): 9}

    def answer(command, library):
        size = growth.get((command[-1], library), 1) << 20
        return {"growth": size, "seconds": 1.0, "loss": 1.0, "exact": library == "minipar"}

    monkeypatch.setattr(fresh, "_answer", answer)
    monkeypatch.setattr(fresh, "_libraries", lambda: ["minipar", "torch"])
    found = fresh.memory()
    assert found.verdicts == [
        "W3: 0.50 of PyTorch's growth, bar 1: met",
        "recomputation keeps 1.12 of the deep model's memory, bar less than 1: NOT met",
    ]
    assert "| the CNN of W3, batch 64 | torch | at most 4.0 MiB | 1 s |" in found.markdown()


def test_startup_is_a_table_with_its_bars(monkeypatch):
    def seconds(program):
        return 2.0 if "runpy" in program else {"pass": 0.01, "import numpy": 0.1, "import minipar": 0.14}[program]

    monkeypatch.setattr(fresh, "seconds", seconds)
    monkeypatch.setattr(fresh, "_libraries", lambda: ["minipar"])
    found = fresh.startup(rounds=3)
    assert found.verdicts == [
        "import minipar / import numpy: 1.40 (median of 3 pairs), bar 1.5: met",
        "first step of W3: 2 s, bar 1.5 s: NOT met",
    ]
    assert "import numpy" in found.text()


def test_the_first_step_runs_in_a_process_that_knows_nothing_else():
    program = fresh._FIRST_STEP.format("minipar", str(fresh.Path(fresh.__file__).with_name("workloads.py")))
    assert fresh.seconds(program.replace("W3", "W1")) > 0


def test_a_process_that_fails_is_one_line():
    with pytest.raises(CommandFailed, match="ended with exit code 3"):
        fresh.seconds("raise SystemExit(3)")
    with pytest.raises(CommandFailed, match="ended with exit code"):
        fresh._answer(["-c", "raise SystemExit(3)"], "minipar")


def test_all_results_are_files_named_by_the_day(monkeypatch, tmp_path, capsys):
    def found(seconds):
        return Findings("Title", "method", ("a",), [["1"]], ["met"], facts={})

    def broken(seconds):
        raise CommandFailed("the sweep could not start")

    monkeypatch.setattr(all_results, "_PARTS", (("-startup", found), ("-memory", found)))
    assert all_results.write_all(tmp_path, 1.0) == 0
    monkeypatch.setattr(all_results, "_PARTS", (("-sweep", broken), ("-memory", found)))
    assert all_results.write_all(tmp_path, 1.0) == 1
    assert "the sweep could not start" in capsys.readouterr().err
    names = sorted(file.name[14:] for file in tmp_path.iterdir())
    assert names == ["-memory.json", "-memory.md", "-startup.json", "-startup.md"]
    assert json.loads(next(tmp_path.glob("*-memory.json")).read_text())["verdicts"] == ["met"]
    assert next(tmp_path.glob("*-memory.md")).read_text().startswith("# Title")

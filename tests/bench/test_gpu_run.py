"""The whole of `minipar bench --gpu` over the CuPy double: every part from end to end, in small; and its processes.

Not a GPU run: the kernels' reference forms stand in for the kernels, and the double's events say 1.5 ms each.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import minipar
from minipar.bench.gpu import bars, command, families, ladder, parts, process, steps, timing
from minipar.bench.gpu.bandwidth import bandwidths
from minipar.bench.gpu.check import Check
from minipar.bench.gpu.contests import convolution_timings
from minipar.bench.gpu.kernel_checks import REFERENCE, Convolution
from minipar.bench.gpu.parts import ONE_PROCESS, Part
from minipar.bench.gpu.process import rows_of
from minipar.bench.gpu.rows import Condition, Failure, Note, to_line
from minipar.bench.gpu.timing import launch_overhead
from minipar.bench.workloads import WORKLOADS
from minipar.kernels.cuda import detect, launcher
from tests.cupy_double.installed import double_installed

HOME = str(Path(__file__).resolve().parents[2])


# ── the whole run, in this process ────────────────────────────────────────────────────────────────────────────────────


def inline(part, seconds):
    with minipar.use_kernels("reference"):  # of the thread that a part has
        yield from part.rows()


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The double in CuPy's place, reference forms in the kernels', and every part small and short."""
    with double_installed() as cupy:
        routines = SimpleNamespace(COMPUTE_TYPE_DEFAULT=1, COMPUTE_TYPE_TF32=7, types=[1])
        routines.get_compute_type = lambda dtype: routines.types[-1]
        routines.set_compute_type = lambda dtype, kind: routines.types.append(kind)
        core = ModuleType("cupy._core")
        core._routines_linalg = routines
        monkeypatch.setitem(sys.modules, "cupy._core", core)
        cupy.cuda.nccl = SimpleNamespace(available=False)
        monkeypatch.setitem(sys.modules, "cupy.cuda", cupy.cuda)
        reference = {**REFERENCE, "matmul": cupy.matmul}
        monkeypatch.setattr(parts, "kernels", lambda: reference)
        monkeypatch.setattr(parts, "rungs", lambda capability: {"double-buffered": cupy.matmul, "tf32": cupy.matmul})
        monkeypatch.setattr(launcher, "_loaded", lambda kernel, device: lambda blocks, threads, args: None)
        monkeypatch.setattr(parts, "launch_overhead", partial(launch_overhead, launches=3))
        monkeypatch.setattr(parts, "ladder_timings", partial(ladder.ladder_timings, sizes=(8,)))
        monkeypatch.setattr(parts, "bandwidths", partial(bandwidths, shape=(4, 8)))
        small = Convolution((2, 3, 6, 6), (4, 3, 3, 3))
        monkeypatch.setattr(parts, "convolution_timings", partial(convolution_timings, convolutions=(small,)))
        monkeypatch.setattr(bars, "BARRED_SIZES", (8,))
        monkeypatch.setattr(steps, "MODELS", {"MLP": WORKLOADS["W2a"]})
        monkeypatch.setattr(steps, "FAMILIES", ("MLP", steps.GAN))
        monkeypatch.setattr(families, "FAMILIES", {"MLP": families.FAMILIES["MLP"]})
        monkeypatch.setattr(timing, "SAMPLES", (1, 1))
        monkeypatch.setattr(timing, "COPIES", (1, 1))
        monkeypatch.setattr(timing, "WAKING_SECONDS", 0.0)
        monkeypatch.chdir(tmp_path)
        yield SimpleNamespace(routines=routines, folder=tmp_path, cupy=cupy)
    assert routines.types[-1] == 1  # as it was before


def test_a_whole_run_finds_everything_and_writes_its_report(small, monkeypatch, capsys):
    assert command.run(None, None, inline) == 1
    captured = capsys.readouterr()
    failed = captured.err.splitlines()
    assert len(failed) == 1  # nothing but NCCL, which the double does not have
    assert "NCCL all-reduce, world size 1: RuntimeError: CuPy finds no NCCL" in failed[0]
    (page,), (numbers,) = small.folder.glob("gpu-stand-in-0-*.md"), small.folder.glob("gpu-stand-in-0-*.json")
    found = json.loads(numbers.read_text())
    assert {timing["name"] for timing in found["timings"]} == {
        "matmul, double-buffered", "matmul, tf32", "conv2d_forward", "conv2d_grad_input", "conv2d_grad_weight",
    }  # fmt: skip
    assert [step["name"] for step in found["steps"]] == ["MLP", "GAN"]
    assert len(found["bandwidths"]) > 10
    assert len(found["launches"]) == 4
    assert found["conditions"]["device"] == "Stand-in 0"
    assert found["conditions"]["compute mode"] == "shared"
    assert {name for name, check in {c["name"]: c for c in found["checks"]}.items() if not check["passed"]} == {
        "NCCL all-reduce"
    }
    ratios = {bar["name"]: bar["found"] for bar in found["bars"]}
    assert ratios["matmul 8³ in float32 ÷ cuBLAS"] == "1.00"
    assert ratios["launch overhead"] is not None
    assert set(found["seconds"]) == {"all", *(part.name for part in parts.parts())}
    assert "| launch overhead | ≤ 10 µs |" in page.read_text()
    assert "check MLP in float32: " in captured.out
    assert 7 in small.routines.types  # cuBLAS was allowed to use TF32, for a time


def test_a_whole_run_passes_if_everything_does(small, monkeypatch, capsys):
    monkeypatch.setattr(parts, "nccl_checks", lambda: iter([Check("NCCL", "", 0.0, 0.0)]))
    (small.folder / "benchmarks" / "results").mkdir(parents=True)
    assert command.run(small.folder / "given.json", None, inline) == 0
    assert not capsys.readouterr().err
    assert (small.folder / "given.json").is_file()
    assert len(list((small.folder / "benchmarks" / "results").glob("gpu-stand-in-0-*.md"))) == 1


def test_what_fails_in_one_part_does_not_lose_the_rest(small, monkeypatch, capsys):
    def out_of_memory(*_):
        yield Note("as far as here")
        raise MemoryError("3 GiB")

    for name in ("ladder_timings", "kernel_checks", "conditions"):
        monkeypatch.setattr(parts, name, out_of_memory)
    assert command.run(None, small.folder / "page.md", inline) == 1
    said = capsys.readouterr().err
    assert "matmul: MemoryError: 3 GiB (test_gpu_run.py, line " in said
    assert "check kernels: MemoryError: 3 GiB (test_gpu_run.py, line " in said
    page = (small.folder / "page.md").read_text()
    assert "3 parts did not run to their end" in page
    assert "- as far as here" in page
    assert "| MLP in float64, losses |" in page
    assert "conv2d_grad_weight" in page


def test_a_gpu_without_tensor_cores_is_not_asked_for_them(small, monkeypatch):
    monkeypatch.undo()
    assert {"tf32", "bf16"} < set(ladder.rungs((8, 0)))
    old = ladder.rungs((7, 5))
    assert set(ladder.rungs((8, 0))) - set(old) == {"tf32", "bf16"}
    monkeypatch.setattr(parts, "_capability", lambda: (7, 5))
    with double_installed():
        (note,) = parts._rung_checks("bf16")
    assert isinstance(note, Note)


def test_without_a_gpu_one_line_says_why_not(monkeypatch, capsys):
    monkeypatch.setattr(detect, "status", lambda: (False, "no driver"))
    assert command.run(None, None) == 1
    assert capsys.readouterr().err == "minipar bench --gpu: no GPU can be used: no driver\n"


# ── time ──────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_takes_less_than_eight_minutes_whatever_happens():
    alone = sum(part.seconds for part in parts.parts() if part.alone)
    assert alone + command.CHECK_SECONDS <= command.SECONDS + 10 < 8 * 60 + 1


def test_parts_are_given_the_time_that_is_left():
    now, given = [0.0], {}

    def run_part(part, seconds):
        given[part.name] = seconds
        now[0] += 100.0
        yield Condition(parts.COMPUTE_MODE, ONE_PROCESS)  # so the checks, too, come one after the other

    wanted = [
        Part("device", 30, lambda: iter(())),
        *(Part(name, 120, lambda: iter(()), alone=False) for name in ("first", "second", "third")),
        Part("timings", 400, lambda: iter(())),
        *(Part(name, 80, lambda: iter(())) for name in ("more", "last")),
    ]
    report = command.measure(wanted, run_part, clock=lambda: now[0])
    assert given == {"device": 30, "first": 120, "second": 80, "timings": 170, "more": 70}
    assert report.failures == [f"{name}: there was no time left for it" for name in ("third", "last")]
    assert report.seconds["all"] == 500


# ── processes ─────────────────────────────────────────────────────────────────────────────────────────────────────────

ROW = Condition("device", "a")


def saying(*statements) -> tuple[str, ...]:
    """A process that says one row and does this."""
    return (sys.executable, "-c", "\n".join([f"print({to_line(ROW)!r}, flush=True)", *statements]))


def test_rows_of_a_process_are_read_as_they_come():
    assert list(rows_of("x", 60, saying())) == [ROW]


@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("import os; os.abort()", "was ended by SIGABRT"),
        ("import sys; print('poisoned', file=sys.stderr); sys.exit(3)", "ended with exit code 3: poisoned"),
        ("print('[\"Nonsense\"')", "JSONDecodeError"),
    ],
)
def test_a_crash_keeps_what_was_found_before(does, said):
    first, failure = process.guarded_rows(rows_of("x", 60, saying(does)))
    assert first == ROW
    assert isinstance(failure, Failure)
    assert said in failure.text


def test_a_process_that_hangs_is_stopped():
    first, failure = rows_of("x", 3, saying("import time; time.sleep(1000)"))
    assert (first, failure.text) == (ROW, "stopped after 3 s, which is all it may take")


def test_a_part_runs_in_a_process_of_its_own():
    program = (
        f"import sys; sys.path.insert(0, {HOME!r})\n"
        "from tests.cupy_double.installed import double_installed\n"
        "from minipar.bench.gpu.process import main\n"
        "with double_installed(): sys.exit(main())"
    )
    found = {row.name: row.text for row in rows_of("device", 120, (sys.executable, "-c", program))}
    assert found["device"] == "Stand-in 0"
    assert found["capability"] == "9.0, 4 multiprocessors"


def test_a_part_without_cupy_says_so_from_its_process():
    if detect.status()[0]:
        pytest.skip("there is a GPU here")
    rows = list(rows_of("bandwidth", 120))
    assert [type(row) for row in rows] == [Failure]
    assert "cupy" in rows[0].text

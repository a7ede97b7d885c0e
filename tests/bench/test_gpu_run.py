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
from minipar.bench.gpu import (
    bars,
    command,
    cudnn,
    families,
    fused,
    kernel_checks,
    ladder,
    nccl,
    parts,
    process,
    steps,
    timing,
)
from minipar.bench.gpu.bandwidth import bandwidths
from minipar.bench.gpu.cases import Convolution
from minipar.bench.gpu.contests import convolution_timings
from minipar.bench.gpu.parts import ONE_PROCESS, Part
from minipar.bench.gpu.process import rows_of
from minipar.bench.gpu.rows import Condition, Failure, Note, to_line
from minipar.bench.gpu.timing import launch_overhead
from minipar.bench.workloads import WORKLOADS
from minipar.kernels.cuda import detect, launcher
from tests.bench.gpu_stand_ins import plain_kernels, pytorch_on_the_double
from tests.cupy_double.double_nccl import nccl_installed
from tests.cupy_double.installed import double_installed
from tests.parallel.nccl.threads_with_nccl import launch as launch_on_threads

HOME = str(Path(__file__).resolve().parents[2])


# ── the whole run, in this process ────────────────────────────────────────────────────────────────────────────────────


def inline(part, seconds):
    with minipar.use_kernels("reference"):  # of the thread that a part has
        yield from part.rows()


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The doubles in CuPy's and NCCL's place, reference forms in the kernels', and every part small and short."""
    with nccl_installed(gpus=2) as there:
        cupy = there.cupy
        routines = SimpleNamespace(COMPUTE_TYPE_DEFAULT=1, COMPUTE_TYPE_TF32=7, types=[1])
        routines.get_compute_type = lambda dtype: routines.types[-1]
        routines.set_compute_type = lambda dtype, kind: routines.types.append(kind)
        core = ModuleType("cupy._core")
        core._routines_linalg = routines
        monkeypatch.setitem(sys.modules, "cupy._core", core)
        monkeypatch.setattr(parts, "kernels", plain_kernels)
        monkeypatch.setattr(parts, "_rung_names", lambda: ["double-buffered", "tf32"])
        of_a_rung = {name: plain_kernels()[name] for name in ("matmul", "linear_forward")}
        monkeypatch.setattr(parts, "kernels_of", lambda name: of_a_rung)
        monkeypatch.setattr(parts, "rungs", lambda capability: {"double-buffered": cupy.matmul, "tf32": cupy.matmul})
        monkeypatch.setattr(launcher, "_loaded", lambda kernel, device: lambda blocks, threads, args: None)
        monkeypatch.setattr(parts, "launch_overhead", partial(launch_overhead, launches=3))
        monkeypatch.setattr(parts, "ladder_timings", partial(ladder.ladder_timings, sizes=(8,)))
        monkeypatch.setattr(parts, "bandwidths", partial(bandwidths, shape=(4, 8)))
        small = Convolution((2, 3, 6, 6), (4, 3, 3, 3))
        monkeypatch.setattr(kernel_checks, "LARGE_CONVOLUTIONS", (small,))
        monkeypatch.setattr(parts, "convolution_timings", partial(convolution_timings, convolutions=(small,)))
        monkeypatch.setattr(cudnn, "cudnn_timings", partial(cudnn.cudnn_timings, convolutions=(small,)))
        monkeypatch.setattr(cudnn, "same_bits_checks", partial(cudnn.same_bits_checks, convolutions=(small,)))
        monkeypatch.setattr(bars, "RESNET18", {small: 3})
        monkeypatch.setattr(fused, "fused_timings", partial(fused.fused_timings, numbers=1 << 15))
        on_threads = lambda fn, *args, workers, backend: launch_on_threads(fn, *args, size=workers)  # noqa: E731
        monkeypatch.setattr(nccl, "nccl_checks", partial(nccl.nccl_checks, launch=on_threads))
        monkeypatch.setattr(nccl, "nccl_timings", partial(nccl.nccl_timings, launch=on_threads, sizes=(4096,)))
        monkeypatch.setattr(command, "SIDE_BY_SIDE", 1)
        monkeypatch.setattr(bars, "BARRED_SIZES", (8,))
        monkeypatch.setattr(steps, "MODELS", {"MLP": WORKLOADS["W2a"]})
        for module in (steps, bars):
            monkeypatch.setattr(module, "FAMILIES", ("MLP", steps.GAN))
        monkeypatch.setattr(families, "FAMILIES", {"MLP": families.FAMILIES["MLP"]})
        monkeypatch.setattr(timing, "SAMPLES", (1, 1))
        monkeypatch.setattr(timing, "COPIES", (1, 1))
        monkeypatch.setattr(timing, "WAKING_SECONDS", 0.0)
        monkeypatch.chdir(tmp_path)
        yield SimpleNamespace(routines=routines, folder=tmp_path, cupy=cupy)
    assert routines.types[-1] == 1  # as it was before


def test_a_whole_run_finds_everything_and_writes_its_report(small, capsys):
    torch = pytest.importorskip("torch", reason='needs PyTorch: pip install ".[oracle]"')
    with pytorch_on_the_double(torch):
        assert command.run(None, None, inline) == 0
    captured = capsys.readouterr()
    assert not captured.err
    (page,), (numbers,) = small.folder.glob("gpu-stand-in-0-*.md"), small.folder.glob("gpu-stand-in-0-*.json")
    found = json.loads(numbers.read_text())
    assert {timing["name"] for timing in found["timings"]} == {
        "matmul, double-buffered", "matmul, tf32", *cudnn.KERNELS, *fused.CASES,
        *(cudnn.title(kernel, mode) for kernel in cudnn.KERNELS for mode in cudnn.MODES),
    }  # fmt: skip
    assert {timing["opponent"] for timing in found["timings"]} == {"CuPy", "cuDNN", "CuPy's lines"}
    assert [step["name"] for step in found["steps"]] == ["MLP", "GAN"]
    assert all(step["theirs"] for step in found["steps"])
    assert [row["ranks"] for row in found["all_reduces"]] == [2]
    assert len(found["bandwidths"]) > 10
    assert len(found["launches"]) == 4
    assert found["conditions"]["device"] == "Stand-in 0"
    assert found["conditions"]["compute mode"] == "shared"
    assert all(check["passed"] for check in found["checks"])
    ratios = {bar["name"]: bar["found"] for bar in found["bars"]}
    assert ratios.keys() == {name for name, ratio in ratios.items() if ratio is not None}
    assert ratios["conv2d_grad_weight over ResNet-18 in float32 ÷ cuDNN"] == "1.00"
    assert ratios["adam_step ÷ CuPy's lines"] == "1.00"
    assert ratios["matmul 8³ in float32 ÷ cuBLAS"] == "1.00"
    assert ratios["launch overhead"] is not None
    assert set(found["seconds"]) == {"all", *(part.name for part in parts.parts())}
    assert "| launch overhead | ≤ 10 µs |" in page.read_text()
    assert "check training of MLP: " in captured.out
    assert 7 in small.routines.types  # cuBLAS was allowed to use TF32, for a time


def test_without_pytorch_and_a_second_gpu_the_rest_is_found(small, monkeypatch, capsys):
    monkeypatch.setattr(steps, "find_spec", lambda name: None)
    monkeypatch.setattr(nccl, "gpus", lambda: 1)
    (small.folder / "benchmarks" / "results").mkdir(parents=True)
    assert command.run(small.folder / "given.json", None, inline) == 0
    assert not capsys.readouterr().err
    found = json.loads((small.folder / "given.json").read_text())
    assert found["notes"] == [
        *["PyTorch is not installed: nothing is timed beside it"] * 2,
        "there is one GPU: no all-reduce between GPUs is timed",
    ]
    assert not found["all_reduces"]
    assert not any(timing["opponent"] == "cuDNN" for timing in found["timings"])
    assert "NCCL all-reduce" in {check["name"] for check in found["checks"]}
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
    assert "check products: MemoryError: 3 GiB (test_gpu_run.py, line " in said
    page = (small.folder / "page.md").read_text()
    assert f"{2 + len(kernel_checks.GROUPS)} parts did not run to their end" in page
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

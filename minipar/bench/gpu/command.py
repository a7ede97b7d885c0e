"""`minipar bench --gpu`, in order: is there a GPU, checks, timings, report."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ..machine import conditions, version
from ..report import duration
from .check import Check, guarded
from .contests import convolution_timings
from .kernel_checks import Kernels, kernel_checks
from .ladder import cublas, ladder_checks, ladder_timings, rungs
from .nccl import nccl_checks
from .report import Report, data, failure_lines, file_stem, markdown
from .timing import Timing, event_stopwatch, launch_overhead
from .training_step import training_step_checks

RESULTS = Path("benchmarks/results")
PACKAGES = ("numba-cuda", "cuda-bindings", "nvidia-nvvm", "nvidia-nvjitlink", "nvidia-cublas", "nvidia-nccl-cu13")


def run(json_path: Path | None, markdown_path: Path | None) -> int:
    """Exit code 0 if every check passed; 1 if one failed, or if there is no usable GPU (one line says why not)."""
    from ...kernels.cuda import detect

    usable, reason = detect.status()
    if not usable:
        sys.stderr.write(f"minipar bench --gpu: no GPU can be used: {reason}\n")
        return 1
    report = Report(device_conditions())
    print("\n".join(f"{name:>16}  {text}" for name, text in report.conditions.items()), flush=True)
    measure(report)
    _write(report, json_path, markdown_path)
    print(report.verdict())
    sys.stderr.writelines(f"minipar bench --gpu: {line}\n" for line in failure_lines(report))
    return 0 if report.passed else 1


def device_conditions() -> dict[str, str]:
    """The machine's conditions, with device, driver and the versions of everything between it and us."""
    import cupy

    runtime = cupy.cuda.runtime
    device = runtime.getDeviceProperties(cupy.cuda.Device().id)
    return {
        "device": device["name"].decode(),
        "memory": f"{device['totalGlobalMem'] / 2**30:.0f} GiB, L2 {device['l2CacheSize'] / 2**20:.0f} MiB",
        "capability": f"{device['major']}.{device['minor']}, {device['multiProcessorCount']} multiprocessors",
        "driver": f"CUDA {runtime.driverGetVersion()}, runtime {runtime.runtimeGetVersion()}",
        **conditions(),
        "cupy": cupy.__version__,
        **{package: version(package) for package in PACKAGES},
    }


def measure(report: Report) -> None:
    """Fill the report; a part that fails is noted, and the next one runs."""
    import cupy

    kernels = _kernels()
    _add_checks(report, "kernels", kernel_checks(kernels, cupy.asarray, cupy.asnumpy))
    _add_checks(report, "ladder", ladder_checks(rungs(), cupy.asarray, cupy.asnumpy))
    for dtype in ("float32", "float64"):
        step = guarded("training step", dtype, partial(training_step_checks, "cuda", dtype))
        _add_checks(report, f"step {dtype}", step)
    _add_checks(report, "NCCL", guarded("NCCL all-reduce", "world size 1", nccl_checks))
    _add_timings(report, "matmul", _matmul_timings())
    _add_timings(report, "conv2d", convolution_timings(kernels, cupy.asarray, event_stopwatch))
    try:
        report.launches = launch_overhead(_tiny_launches(kernels), cupy.cuda.get_current_stream().synchronize)
    except Exception as error:
        report.failures.append(f"launch overhead: {type(error).__name__}: {error}")
    for name, seconds in report.launches.items():
        print(f"launch  {name:<40} {seconds * 1e6:.2f} µs", flush=True)


def _matmul_timings() -> Iterator[Timing]:
    import cupy

    yield from ladder_timings(rungs(), cublas(), cupy.asarray, event_stopwatch)


def _kernels() -> Kernels:
    from ...kernels.cuda import conv2d, matmul

    return {
        "matmul": matmul.matmul,
        "conv2d_forward": conv2d.conv2d_forward,
        "conv2d_grad_input": conv2d.conv2d_grad_input,
        "conv2d_grad_weight": conv2d.conv2d_grad_weight,
    }


def _tiny_launches(kernels: Kernels) -> dict[str, Any]:
    import cupy

    from ...kernels.cuda.launcher import launch
    from ...kernels.cuda.matmul import plan_matmul

    a, b, c = (cupy.ones((16, 16), cupy.float32) for _ in range(3))
    plan = plan_matmul(a, b)
    return {
        "minipar matmul 16×16, planned before": lambda: launch(lambda _: plan, a),
        "minipar matmul 16×16, whole call": lambda: kernels["matmul"](a, b),
        "CuPy matmul 16×16, out given": lambda: cupy.matmul(a, b, out=c),
        "CuPy add 16×16, out given": lambda: cupy.add(a, b, out=c),
    }


def _add_checks(report: Report, part: str, checks: Iterable[Check]) -> None:
    found = list(checks)
    report.checks += found
    print(f"check   {part:<16} {sum(check.passed for check in found)}/{len(found)} passed", flush=True)


def _add_timings(report: Report, part: str, timings: Iterable[Timing]) -> None:
    try:
        for timing in timings:
            report.timings.append(timing)
            sides = f"{duration(timing.ours)}, CuPy {duration(timing.theirs)}: {timing.ratio:.2f} of its speed"
            print(f"time    {timing.name} {timing.case}: {sides}", flush=True)
    except Exception as error:
        report.failures.append(f"{part} timings: {type(error).__name__}: {error}")


def _write(report: Report, json_path: Path | None, markdown_path: Path | None) -> None:
    """To the given paths, else beside the other results of a checkout, else to the current folder."""
    from ..command import write_files

    folder = RESULTS if RESULTS.is_dir() else Path()
    stem = file_stem(report.conditions)
    write_files(
        {
            markdown_path or folder / f"{stem}.md": markdown(report),
            json_path or folder / f"{stem}.json": json.dumps(data(report), indent=1),
        }
    )

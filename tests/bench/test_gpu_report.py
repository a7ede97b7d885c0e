"""The report of `minipar bench --gpu`: bars, tables, and rows that travel from process to process."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from minipar.bench.gpu.bandwidth import Bandwidth
from minipar.bench.gpu.check import Check
from minipar.bench.gpu.nccl import AllReduce
from minipar.bench.gpu.report import Report, data, failure_lines, file_stem, markdown
from minipar.bench.gpu.rows import KINDS, Condition, Failure, Note, from_line, to_line
from minipar.bench.gpu.steps import Step
from minipar.bench.gpu.timing import Launch, Timing

FAST = Timing("matmul, double-buffered", "4096×4096×4096", 1e-3, 0.9e-3, 0.9e-3, 0.8e-3, 2.0 * 4096**3)


def recorded(*more) -> Report:
    rows = {
        "device": [Condition("device", "NVIDIA H200 (SXM)"), Condition("date", "2026-11-21 12:00 UTC")],
        "check kernels": [
            Check("matmul", "(5, 3) @ (3, 7) float32", 1e-8, 1e-6),
            Check("matmul", "other", 9e-7, 1e-6),
        ],
        "launches": [Launch("minipar matmul", 8.25e-6), Launch("CuPy add", 3e-6)],
        "matmul": [FAST, replace(FAST, name="matmul, tf32", ours=2e-3, theirs=0.9e-3)],
        "steps": [
            Step("MLP", "784-64-64-10", 2e-4, 3e-4),
            Note("PyTorch finds no GPU"),
            Step("GAN", "zoo", 1e-3, None),
        ],
        "bandwidth": [Bandwidth("add", "4×4", 3e-3, 6e9, 1e-3, 4e9)],
        "NCCL": [AllReduce(4, 1 << 20, 1e-4)],
        "more": list(more),
    }
    return Report(rows, dict.fromkeys(rows, 1.25))


def test_the_bars_come_first_and_say_what_was_met():
    page = markdown(recorded())
    table = page.split("\n\n")[2]
    assert "| matmul 4096³ in float32 ÷ cuBLAS | ≥ 0.85 | 0.90 | met |" in table
    assert "| matmul 4096³ in TF32 ÷ cuBLAS | ≥ 0.50 | 0.45 | NOT met |" in table
    assert "| matmul 8192³ in TF32 ÷ cuBLAS | ≥ 0.50 | – | not measured |" in table
    assert "| launch overhead | ≤ 10 µs | 8.2 µs | met |" in table
    assert "| training step, MLP ÷ PyTorch | ≥ 1.00 | 1.50 | met |" in table
    assert "| training step, GAN ÷ PyTorch | ≥ 1.00 | – | not measured |" in table
    slow = recorded()
    slow.rows["launches"] = [Launch("minipar matmul", 10.5e-6)]
    assert "| launch overhead | ≤ 10 µs | 10.5 µs | NOT met |" in markdown(slow)
    assert slow.passed  # a bar is no check


def test_every_row_is_in_the_report():
    page = markdown(recorded())
    assert "**2 of 2 checks passed; 3 of 4 bars met, 51 not measured.**" in page
    assert "| matmul | 2/2 | 9e-07 | 1e-06 | other |" in page
    assert "| matmul, tf32 | 4096×4096×4096 | 2 ms | 68.7 | CuPy | 900 µs | 153 | 0.45 |" in page
    assert "| minipar matmul | 8.25 µs |" in page
    assert "| MLP | 784-64-64-10 | 200 µs | 300 µs | 1.50 |" in page
    assert "| GAN | zoo | 1 ms | – | – |" in page
    assert "| 4 | 1,048,576 | 100 µs | 15.7 |" in page
    assert "| add | 4×4 | 3 ms | 2000 | 50% |" in page
    assert "- PyTorch finds no GPU" in page
    assert "| launches | 1.2 |" in page
    assert "What failed" not in page
    found = json.loads(json.dumps(data(recorded())))
    assert found["passed"] is True
    assert found["checks"][1] == {
        "name": "matmul", "case": "other", "error": 9e-7, "tolerance": 1e-6, "exception": "", "passed": True,
    }  # fmt: skip
    assert found["timings"][0]["ratio"] == pytest.approx(0.9)
    assert found["bandwidths"][0]["share"] == pytest.approx(0.5)
    assert found["launches"] == {"minipar matmul": 8.25e-6, "CuPy add": 3e-6}
    assert sum(bar["answer"] == "met" for bar in found["bars"]) == 3


def test_a_failure_is_reported_with_its_numbers_and_its_part():
    wrong = [Check("matmul", "a", 0.5, 1e-6), Check("NCCL", "b", float("nan"), 0.0, "RuntimeError: no NCCL")]
    report = recorded(*wrong, Failure("OutOfMemoryError: 3 GiB (ladder.py, line 7)"))
    assert not report.passed
    lines = [
        "matmul, a: error 0.5 is above 1e-06",
        "NCCL, b: RuntimeError: no NCCL",
        "more: OutOfMemoryError: 3 GiB (ladder.py, line 7)",
    ]
    assert failure_lines(report) == lines
    page = markdown(report)
    assert "**2 of 4 checks passed; 1 part did not run to its end; " in page
    assert all(f"- {line}" in page for line in lines)


def test_a_report_without_checks_or_with_a_part_missing_has_not_passed():
    assert recorded().passed
    assert not Report().passed
    assert "Nothing was measured." in markdown(Report())
    assert not recorded(Failure("stopped after 90 s")).passed


def test_the_files_are_named_after_device_and_date():
    assert file_stem(recorded().conditions) == "gpu-nvidia-h200-sxm-2026-11-21"
    assert file_stem({}) == "gpu-unknown"


def test_rows_travel_as_lines():
    rows = [
        row for found in recorded(Failure("a\nb"), Check("c", "", float("inf"), 0.0)).rows.values() for row in found
    ]
    assert [from_line(to_line(row)) for row in rows] == rows
    assert {type(row).__name__ for row in rows} == set(KINDS)
    assert all("\n" not in to_line(row) for row in rows)

"""`minipar train` as a user types it: what it writes, how it fails, how it is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest

import minipar
from minipar.cli.tasks import TASKS

COMMAND = [sys.executable, "-m", "minipar"]


def run_minipar(*arguments: str, cwd: Path, timeout: float = 120) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(Path(minipar.__file__).parent.parent), "PYTHONWARNINGS": "error"}
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, cwd=cwd, timeout=timeout, env=environment
    )


@pytest.mark.parametrize("data", TASKS)
def test_each_data_set_trains_on_two_workers(data, tmp_path):
    done = run_minipar("train", data, "--epochs", "2", "--workers", "2", "--seed", "5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].split()[:2] == ["epoch", "loss"]
    assert TASKS[data].metric_name in lines[1]
    assert [line.split()[0] for line in lines[2:4]] == ["1", "2"]

    out = tmp_path / "runs" / data
    assert sorted(p.name for p in out.iterdir()) == ["checkpoint.safetensors", "history.json", "loss.svg"]
    model = TASKS[data].model()
    model.load_state_dict(minipar.load(out / "checkpoint.safetensors"))
    ElementTree.parse(out / "loss.svg")
    told = json.loads((out / "history.json").read_text())
    assert told["settings"]["seed"] == 5
    assert len(told["history"]) == 2
    assert told["history"][1]["loss"] < told["history"][0]["loss"]


def test_a_seed_gives_the_same_bits_again(tmp_path):
    weights = []
    for folder, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        done = run_minipar("train", "digits", "--epochs", "1", "--seed", seed, "--out", folder, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        weights.append(minipar.load(tmp_path / folder / "checkpoint.safetensors"))
    a, b, c = weights
    assert all(np.array_equal(a[k].array, b[k].array) for k in a)
    assert not any(np.array_equal(a[k].array, c[k].array) for k in a)


@pytest.mark.parametrize("data", ["digits", "ames"])
def test_two_workers_are_one_over_a_whole_run(data, tmp_path):
    done = run_minipar("train", data, "--compare-workers", "--dtype", "float64", "--epochs", "8", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gradients of step 1: equal" in done.stdout
    assert "parameters after 20 steps: equal" in done.stdout
    assert "steps: equal" in done.stdout.splitlines()[-1]
    assert "tolerance 1e-08" in done.stdout.splitlines()[-1]
    names = [name for name, _ in TASKS[data].model().named_parameters()]
    assert all(any(line.startswith(name) for line in done.stdout.splitlines()) for name in names)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["train", "fashion_minst"], "did you mean fashion_mnist"),
        (["train", "digits", "--epochs", "0"], "whole number of 1 or more, not '0'"),
        (["train", "digits", "--epochs", "many"], "whole number of 1 or more, not 'many'"),
        (["train", "digits", "--lr", "-1"], "number above 0, not '-1'"),
        (["train", "digits", "--lr", "nan"], "number above 0, not 'nan'"),
        (["train", "digits", "--workers", "100000"], "--workers 100000 is more than"),
        (["train", "digits", "--dtype", "float12"], "float12"),
        (["train", "digits", "--device", "tpu"], "device must be 'cpu', 'cuda' or 'cuda:N', not 'tpu'"),
        (["train", "digits", "--nonsense"], "--nonsense"),
        (["train", "digits", "--out", "file/inside"], "cannot write there"),
        (["train", "digits", "--out", "/proc/nowhere"], "cannot write there"),
        (["nonsense"], "nonsense"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(arguments, told, tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = run_minipar(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert told in done.stderr
    assert not (tmp_path / "runs").exists()


def test_ctrl_c_leaves_one_line_no_process_and_no_file(tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(Path(minipar.__file__).parent.parent)}
    process = subprocess.Popen(
        [*COMMAND, "train", "digits", "--epochs", "100000", "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment,
        start_new_session=True,
    )
    for line in process.stdout:
        if line.split()[:1] == ["2"]:  # in the middle of training
            break
    os.killpg(process.pid, signal.SIGINT)  # what a terminal does: every process of the group gets it
    started = time.monotonic()
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert time.monotonic() - started < 5
    assert "Traceback" not in errors
    assert errors.strip().splitlines()[-1].endswith("minipar train: interrupted")
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # nobody of the group is left
    assert list((tmp_path / "runs/digits").iterdir()) == []


def test_help_is_worth_reading(tmp_path):
    text = run_minipar("--help", cwd=tmp_path).stdout
    assert all(word in text for word in ("train", "bench", "doctor", "minipar train fashion_mnist --workers 2"))
    text = run_minipar("train", "--help", cwd=tmp_path).stdout
    assert all(name in text and task.summary in text for name, task in TASKS.items())
    assert run_minipar(cwd=tmp_path).returncode == 0


def test_doctor_tells_what_is_here_and_what_is_missing(tmp_path):
    done = run_minipar("doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert minipar.__version__ in done.stdout
    assert "two workers started, summed and ended" in done.stdout
    for name in ("numpy", "cores", "blas", "GPU", "NCCL", "MPI", "spawn"):
        assert f"  {name} " in done.stdout
    missing = [line for line in done.stdout.splitlines() if line.startswith("  --")]
    assert missing == [] or "pip install" in done.stdout

"""`minipar train` as a user types it: what it writes, how it fails, how it is interrupted."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import minipar
from minipar import nn, parallel
from minipar.cli.tasks import TASKS
from minipar.cli.train import save_run
from minipar.cli.training import Settings, train
from minipar.data import DataLoader, TensorDataset
from minipar.parallel import Layout
from tests.standard_error import without_compiling

COMMAND = [sys.executable, "-m", "minipar"]


def environment(warnings: str = "error", **more: str) -> dict[str, str]:
    checkout = str(Path(minipar.__file__).parent.parent)
    return {**os.environ, "PYTHONPATH": checkout, "PYTHONWARNINGS": warnings, **more}


def run_minipar(*arguments: str, cwd: Path, timeout: float = 120) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, cwd=cwd, timeout=timeout, env=environment()
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


@pytest.mark.parametrize(
    ("data", "layout", "workers"),
    [
        ("fashion_mnist", "space=2", 2),
        ("digits", "data=2,pipeline=2", 4),
        ("ames", "pipeline=2,microbatches=8,schedule=1f1b", 2),
        ("digits", "pipeline=2,microbatches=4,schedule=interleaved,chunks=2,cut=measured", 2),
        ("digits", "auto", 2),
    ],
)
def test_a_layout_trains_as_one_process_does(data, layout, workers, tmp_path):
    def last_line(*options):
        done = run_minipar("train", data, "--epochs", "1", "--dtype", "float64", *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return [float(number) for number in re.findall(r"\d+\.\d+", done.stdout.splitlines()[1])]

    split, alone = last_line("--layout", layout, "--workers", str(workers)), last_line()
    assert split[:2] == pytest.approx(alone[:2], abs=2e-4)


class SlowOnRank(nn.Module):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds

    def forward(self, x: minipar.Tensor) -> minipar.Tensor:
        time.sleep(self.seconds * len(x))
        return x


def test_what_a_layout_has_measured_is_written_and_trains_to_the_same_bits(tmp_path):
    """One data rank is slow, so shares move; what history.json says deals out the same, whoever is slow then."""
    layout = Layout.parse("data=2,pipeline=2,cut=measured,shares=measured")
    settings = Settings("digits", epochs=2, batch_size=180, lr=0.1, layout=layout)
    examples = TASKS["digits"].prepare(np.dtype("float32"))

    def measured(comm):
        from minipar.cli.tasks import TASKS  # the rank's own

        task = TASKS["digits"]
        TASKS["digits"] = replace(task, model=lambda: nn.Sequential(SlowOnRank(5e-4 * (comm.rank > 1)), task.model()))
        return train(comm, settings, examples, table=False)

    def again(comm, **options):
        task = TASKS["digits"]
        minipar.manual_seed(settings.seed)
        whole = nn.Sequential(SlowOnRank(0.0), task.model())
        net = layout.parallelize(whole, comm, **options)
        optimizer = task.optimizer(net.parameters(), lr=settings.lr)
        x, y = minipar.tensor(examples.x_train), minipar.tensor(examples.y_train)
        batches = DataLoader(TensorDataset(x, y), settings.batch_size, shuffle=True)
        for _ in range(settings.epochs):
            for batch in batches:
                net.train_step(task.loss, optimizer, *batch)
        return {name: tensor.numpy() for name, tensor in net.state_dict().items()}

    run = parallel.launch(measured, workers=4)[0]
    save_run(tmp_path, settings, run)
    told = json.loads((tmp_path / "history.json").read_text())["measured"]
    (first,), record = told["cut"], told["shares"]
    assert 1 <= first <= 4
    assert len(record) == len(run.step_losses) == 16
    assert record[0] == [1.0, 1.0]
    assert record[-1][0] > 1.5 * record[-1][1], "the slow rank has less"
    state = parallel.launch(again, **told, workers=4)[0]
    assert all(np.array_equal(state[name], array) for name, array in run.final.items())
    state = parallel.launch(again, shares=[[1.0, 1.0]], cut=told["cut"], workers=4)[0]
    assert not all(np.array_equal(state[name], array) for name, array in run.final.items()), "shares show in the bits"


def test_the_command_writes_what_was_measured_and_nothing_where_nothing_was(tmp_path):
    for layout, keys in (("data=2,shares=measured", ["shares"]), ("data=2", [])):
        done = run_minipar("train", "ames", "--layout", layout, "--epochs", "1", "--out", "run", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        told = json.loads((tmp_path / "run" / "history.json").read_text())
        assert sorted(told["measured"]) == keys
        assert told["settings"]["layout"] == layout


@pytest.mark.parametrize(
    ("data", "split"),
    [
        ("digits", ["--workers", "2"]),
        ("ames", ["--layout", "pipeline=2,microbatches=3"]),
        ("digits", ["--layout", "tensor=2"]),
    ],
)
def test_two_workers_are_one_over_a_whole_run(data, split, tmp_path):
    options = ["--compare-workers", "--dtype", "float64", "--epochs", "8"]
    done = run_minipar("train", data, *split, *options, cwd=tmp_path)
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
        (["train", "digits", "--layout", "rows=2"], "--layout: layout 'rows=2': 'rows=2' is not name=value"),
        (["train", "digits", "--layout", "tensor=2", "--workers", "3"], "takes 2 workers, not --workers 3"),
        (["train", "digits", "--dtype", "float12"], "float12"),
        (["train", "digits", "--device", "tpu"], "device must be 'cpu', 'cuda' or 'cuda:N', not 'tpu'"),
        (["train", "digits", "--nonsense"], "--nonsense (see minipar train --help)"),
        (["--nonsense"], "--nonsense (see minipar --help)"),
        (["train", "digits", "--seed", "18446744073709551616"], "whole number of [-2**63, 2**64), not '18446744"),
        (["train", "digits", "--seed", "-9223372036854775809"], "whole number of [-2**63, 2**64)"),
        (["train", "digits", "--seed", "0.5"], "whole number of [-2**63, 2**64), not '0.5'"),
        (["train", "digits", "--out", ""], "the name of a folder, not ''"),
        (["train", "digits", "--compare-workers", "--out", "x"], "--compare-workers writes no files"),
        (["train", "digits", "--compare-workers", "--workers", "1"], "give --workers 2 or more"),
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
    process = subprocess.Popen(
        [*COMMAND, "train", "digits", "--epochs", "100000", "--workers", "2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env=environment(),
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
    assert errors.strip().splitlines()[-1].endswith("minipar train: interrupted; nothing was written")
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)  # nobody of the group is left
    assert not (tmp_path / "runs").exists()


def test_ctrl_c_while_minipar_is_loading_is_one_line(tmp_path):
    code = (
        "import sys\n"
        "class Interrupt:\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'minipar.cli.tasks': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt)\n"
        "from minipar.cli import main\n"
        "sys.exit(main(['train', 'digits']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment())
    assert (done.returncode, done.stderr) == (130, "\nminipar train: interrupted\n")


@pytest.mark.parametrize("options", [["--workers", "2"], ["--compare-workers"]])
def test_a_training_that_diverges_is_one_line_and_leaves_nothing(options, tmp_path):
    done = run_minipar("train", "digits", "--lr", "1e9", *options, cwd=tmp_path)
    assert done.returncode == 1
    told = r"minipar train: the loss became (nan|inf) in epoch 1, step \d+: try a smaller --lr than 1e\+09\n"
    assert re.fullmatch(told, done.stderr), done.stderr
    assert not (tmp_path / "runs").exists()


def test_blas_has_one_thread_while_a_worker_trains(monkeypatch):
    def threads_in_the_loss(comm):
        from threadpoolctl import threadpool_info

        from minipar.cli.tasks import TASKS  # the rank's own

        seen = []
        task = TASKS["digits"]

        def loss(*args):
            of_numpy = (
                pool for pool in threadpool_info() if pool["user_api"] == "blas" and "numpy" in pool["filepath"]
            )
            seen.extend(pool["num_threads"] for pool in of_numpy)
            return task.loss(*args)

        TASKS["digits"] = replace(task, loss=loss)
        settings = Settings("digits", epochs=1, batch_size=1000, lr=0.1)
        train(comm, settings, task.prepare(np.dtype("float32")), table=False)
        return set(seen)

    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "2")  # what a lone worker would have otherwise, on two cores or more
    assert parallel.launch(threads_in_the_loss, workers=1) == [{1}]


def test_float32_workers_are_compared_without_judging_the_whole_run(tmp_path):
    done = run_minipar("train", "digits", "--compare-workers", "--epochs", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.startswith("digits, float32, seed 0: 1 worker against 2, data=2\n")
    assert done.stdout.splitlines()[-1].startswith("the whole run is not judged in float32: rounding grows")
    assert without_compiling(done.stderr) == ""  # no terminal, no bar


def test_on_a_terminal_each_compared_run_has_a_bar(tmp_path):
    terminal, far_end = pty.openpty()
    fcntl.ioctl(far_end, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    command = [*COMMAND, "train", "digits", "--compare-workers", "--epochs", "1"]
    with open(terminal, "rb", buffering=0) as shown:
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=far_end, cwd=tmp_path, env=environment(warnings="default")
        )
        os.close(far_end)
        text = b""
        with contextlib.suppress(OSError):  # how a terminal ends
            while part := shown.read(4096):
                text += part
        assert process.wait(60) == 0
    assert b"1 worker:" in text
    assert b"2 workers:" in text


def test_help_is_worth_reading(tmp_path):
    text = run_minipar("--help", cwd=tmp_path).stdout
    assert all(word in text for word in ("train", "bench", "doctor", "minipar train fashion_mnist --workers 2"))
    text = run_minipar("train", "--help", cwd=tmp_path).stdout
    assert all(name in text and task.summary in text for name, task in TASKS.items())
    assert run_minipar(cwd=tmp_path).returncode == 0

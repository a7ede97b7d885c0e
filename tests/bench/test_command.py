"""`minipar bench` as a user meets it."""

from __future__ import annotations

import argparse
import json

import pytest

import minipar
from minipar import bench
from minipar.bench import contenders, limits, table
from minipar.bench.summary import Block, Row
from minipar.kernels.cuda import detect


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser(prog="minipar bench")
    bench.add_arguments(parser)
    return bench.run(parser.parse_args(arguments))


@pytest.fixture
def no_race(monkeypatch):
    """Every contender takes 1 ms, torch 3 ms; returns the list of (workload, names, seconds) that were raced."""
    raced = []

    def race(workload, present, seconds):
        raced.append((workload, [contender.name for contender in present], seconds))
        times = {"torch": 3e-3}
        return [Row(c.name, "1.0", "2", [1.0], [Block(times.get(c.name, 1e-3), 1e-3 / 2, 0.0)] * 7) for c in present]

    monkeypatch.setattr(table, "race", race)
    monkeypatch.setattr(contenders, "_installed", lambda name: True)
    monkeypatch.setattr(limits, "measure", lambda threads: limits.Rates(1e11, "BLAS", {2**28: 1e10}))
    return raced


def test_a_tiny_real_run_writes_its_table(tmp_path, capfd):
    json_file, markdown_file = tmp_path / "out.json", tmp_path / "out.md"
    arguments = ("W1", "--seconds", "1", "--against", "reference", "--json", json_file, "--markdown", markdown_file)
    assert run(*map(str, arguments)) == 0
    shown = capfd.readouterr().out
    assert "linear regression" in shown
    assert "cores" in shown
    rows = json.loads(json_file.read_text())["results"]["W1"]
    assert [row["contender"] for row in rows] == ["minipar", "reference"]
    if all(row["quiet_blocks"] != 0 for row in rows):
        assert rows[0]["ratio"] == {"median": 1.0, "best": 1.0}
        assert rows[1]["median"] == pytest.approx(rows[1]["ratio"]["median"] * rows[0]["median"])
    else:
        assert "ratio" not in rows[1]
    assert "| W1 | minipar |" in markdown_file.read_text()


def test_all_workloads_and_all_contenders_by_default(no_race, capsys):
    assert run("--seconds", "3") == 0
    assert [name for name, _, _ in no_race] == ["W1", "W2a", "W2b", "W2c", "W3", "W3s", "W4a", "W4b", "W5", "W6"]
    assert no_race[0][1:] == (["minipar", "reference", "torch"], 3.0)
    shown = capsys.readouterr().out
    torch_lines = [line.split() for line in shown.splitlines() if line.strip().startswith("torch")]
    assert torch_lines[0] == ["torch", "3", "ms", "3", "ms", "500", "µs", "3.00", "(3.00)", "0.002%", "7/7"]
    assert "3.00 against torch, bar 20: NOT met" in shown
    assert "3.00 against torch, bar 1.2: met" in shown
    assert "3.00 against best peer (torch), bar 1.5: met" in shown
    last = shown.splitlines()[-1].split()
    assert last == ["W6", "1", "ms", "203%", "3.00", "1.5", "met", "3.00", "torch", "1.2", "met"]


@pytest.mark.parametrize("noisy", ["minipar", "torch"])
def test_a_row_without_a_quiet_block_has_no_ratio(noisy, no_race, monkeypatch, tmp_path, capsys):
    def race(workload, present, seconds):
        foreign = {noisy: 1.9}
        return [Row(c.name, blocks=[Block(1e-3, 1e-3, foreign.get(c.name, 0.0))] * 7) for c in present]

    monkeypatch.setattr(table, "race", race)
    json_file, markdown_file = tmp_path / "out.json", tmp_path / "out.md"
    assert run("W1", "--against", "torch", "--json", str(json_file), "--markdown", str(markdown_file)) == 0
    torch_lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip().startswith("torch")]
    assert torch_lines[0][:9] == ["torch", "1", "ms", "1", "ms", "1", "ms", "–", "–"]
    assert "| – | – |" in markdown_file.read_text()
    assert "no quiet block" in markdown_file.read_text()
    assert "ratio" not in json.loads(json_file.read_text())["results"]["W1"][1]


def test_one_opponent_can_be_chosen(no_race):
    assert run("W3", "--against", "torch") == 0
    assert no_race[0][:2] == ("W3", ["minipar", "torch"])


def test_without_torch_one_line_says_why(no_race, monkeypatch, capsys):
    monkeypatch.setattr(contenders, "_installed", lambda name: False)
    assert run("W1", "--against", "torch") == 0
    assert no_race[0][1] == ["minipar"]
    said = [line for line in capsys.readouterr().out.splitlines() if "torch" in line and "÷" not in line]
    assert said == [
        "no rows for torch: the module 'torch' is not installed (pip install \".[oracle]\" in the checkout)"
    ]


def test_a_failed_row_makes_the_exit_code_1(no_race, monkeypatch, capsys):
    monkeypatch.setattr(table, "race", lambda workload, present, seconds: [Row("minipar", error="it broke")])
    assert run("W1") == 1
    assert "it broke" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["W2x"], "unknown workload 'W2x': choose from W1, W2a"),
        (["w3"], "unknown workload 'w3'"),
        (["W1", "--json", "/no/such/folder/x.json"], "there is no folder /no/such/folder"),
        (["W1", "--markdown", "/"], "is a folder; give the name of a file"),
        (["--gpu", "W1"], "--gpu takes no workloads, got W1"),
        (["--memory", "W1"], "--memory takes no workloads, got W1"),
        (["--sweep", "W1"], "unknown layer 'W1': choose from Linear, MLP"),
        (["--sweep", "--against", "jax"], "--sweep chooses whom to compare with; leave --against out"),
        (["--profile", "--seconds", "3"], "--profile takes the time that it takes; leave --seconds out"),
        (["--startup", "--plot", "x.svg"], "--plot draws the table of workloads; --startup has none"),
        (["--all-results", "/no/such/folder"], "there is no folder /no/such/folder"),
        (["--all-results", ".", "--json", "x.json"], "chooses the names of its files"),
        (["W1", "--plot", "/no/such/folder/x.svg"], "there is no folder /no/such/folder"),
    ],
)
def test_wrong_requests_are_one_line_and_exit_code_2(arguments, message, capsys, no_race):
    assert run(*arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("minipar bench: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out
    assert not no_race


@pytest.mark.parametrize(
    "arguments",
    [["--seconds", "0"], ["--seconds", "soon"], ["--seconds", "inf"], ["--against", "x"], ["--sweep", "--gpu"]],
)
def test_wrong_options_are_refused_by_the_parser(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        run(*arguments)
    assert stopped.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_all_means_every_contender_that_is_installed_and_can(no_race):
    assert run("W1", "W3", "--against", "all") == 0
    everybody = list(contenders.CONTENDERS)
    if not hasattr(minipar, "compile"):
        everybody.remove("compiled")
    spared = {"W1": {"torch-channels-last"}, "W3": {"sklearn", "sklearn-fit"}}
    for workload, names, _ in no_race:
        assert names == [name for name in everybody if name not in spared[workload]]


def test_what_needs_a_package_says_so_before_anything_is_measured(no_race, monkeypatch, capsys):
    from minipar.bench import command, plot

    monkeypatch.setattr(plot, "find_spec", lambda name: None)
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert run("W1", "--plot", "x.svg") == 2
    assert "matplotlib, which is not installed (pip install matplotlib)" in capsys.readouterr().err
    assert run("--sweep") == 2
    assert "the sweep needs PyTorch" in capsys.readouterr().err
    assert not no_race


def test_a_plot_is_a_file_and_the_same_file_again(no_race, tmp_path):
    pytest.importorskip("matplotlib", reason='pip install "minipar[test]"')
    pictures = [tmp_path / "one.svg", tmp_path / "two.svg"]
    for picture in pictures:
        assert run("W1", "W3", "--against", "torch", "--plot", str(picture)) == 0
    assert b"<svg" in pictures[0].read_bytes()
    assert pictures[0].read_bytes() == pictures[1].read_bytes()


def test_without_a_gpu_one_line_says_why(monkeypatch, capsys):
    monkeypatch.setattr(detect, "status", lambda: (False, "no module named 'cupy': pip install it"))
    assert run("--gpu") == 1
    captured = capsys.readouterr()
    assert captured.err == "minipar bench --gpu: no GPU can be used: no module named 'cupy': pip install it\n"
    assert not captured.out

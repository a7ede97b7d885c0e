"""Every script of examples/ runs as a user would run it, and prints what it claims."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.standard_error import without_compiling

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(path.stem for path in EXAMPLES.glob("*.py"))
DIFFERENCE = re.compile(r"differ from one process's by (\S+)")

CLAIMS = {  # how often it is compared with one process, and what it says besides (regular expressions)
    "data_parallel": (1, r"rank 1: 64 of 128 images a step, 347,146 parameters", r"equal, bit for bit: True"),
    "model_parallel_by_layer": (
        2,
        r"rank 0 holds 1\.weight 1\.bias;",
        r"rank 1 holds 3\.weight 3\.bias 5\.weight 5\.bias;",
        r"pipeline=2\n(.*\n)+?.*waiting: 50%",
        r"microbatches=4\n(.*\n)+?.*waiting: 20%",
        r"rank 1  \.  F0 B0 B0 F1 B1 B1 F2 B2 B2 F3 B3 B3",
    ),
    "model_parallel_by_component": (
        2,
        r"one process holds .*'1\.weight': \(96, 64\)",
        r"rank 1 holds .*'1\.weight': \(48, 64\).*'4\.weight': \(10, 48\)",
        r"a step: 1 collective forward, 1 backward",
    ),
    "model_parallel_mixed": (
        3,
        r"rank 1 \(pipeline 0, tensor 1\) holds 1\.weight 24×64\n",
        r"rank 2 \(data 1, pipeline 0\) holds 1\.weight 48×64\n",
        r"rank 3 \(data 1, tensor 1\) holds 1\.weight 24×64, 3\.weight 32×24",
    ),
    "task_parallel": (0, r"(lr .* R² 0\.\d{3}   by worker [01]\n){6}", r"the same in one process: True"),
    "assignment": (
        0,
        r"static, as they come +1\.20 s .*\[\[0, 1, 2, 3\], \[4, 5, 6, 7\]\]",
        r"dynamic, as they come +1\.00 s",
        r"static, longest first +1\.20 s .*\[\[0, 1, 2, 3\], \[4, 5, 6, 7\]\]",
        r"dynamic, longest first +0\.80 s",
    ),
    "distributed_descent": (2, r"rank 0: 1099 houses, test R² 0\.8", r"rank 1: 1099 houses, test R² 0\.8"),
    "heterogeneous_descent": (2, r"equal: of 64 houses workers get \[32, 32\]", r"shares give the same bits: True"),
    "spatial_descent": (
        2,
        r"rank 0 of 2: 17 of 33 measurements of 300 houses",
        r"rank 1 of 2: 16 of 33 measurements of 300 houses",
        r"rank 2 of 3: 11 of 33 measurements of 300 houses",
    ),
    "cnn": (
        4,
        r"pipeline=2: .*\n  rank 0 holds 0\..* 4\.weight 16×8×3×3\n  rank 1 holds 9\.weight 10×784\n",
        r"tensor=2: .*\n  rank 0 holds 0\.weight 4×1×3×3, 1\.weight 4, 4\.weight 16×4×3×3",
        r"space=2",
    ),
    "rnn": (
        3,
        r"rank 0 holds 0\.weight_ih_l0 24×1, 0\.weight_hh_l0 24×24\n  rank 1 holds 2\.weight 32×24, 4\.weight 1×32\n",
        r"rank 1 holds 0\.weight_ih_l0 24×1, 0\.weight_hh_l0 24×24, 2\.weight 16×24, 4\.weight 1×16\n",
    ),
    "autoencoder": (
        4,
        r"microbatches=4: .*\n  rank 0 holds 0\.weight \S+, 2\.weight \S+\n  rank 1 holds 4\.weight \S+, 6\.weight",
        r"tensor=2: .*\n  rank 0 holds 0\.weight 4×1×3×3, 2\.weight 4×4×3×3",
        r"space=2: ",
    ),
    "inference": (
        7,
        r"mlp, one process holds 12,607,488 bytes; a batch takes \d+\.\d ms",
        r"data=2: ranks hold 12,607,488 and 12,607,488 bytes; a batch takes \d+\.\d ms",
        r"data=2,zero=3: ranks hold 6,303,744 and 6,303,744 bytes",
        r"schedule=inference: ranks hold 6,303,744 and 6,303,744 bytes",
        r"tensor=2: ranks hold 6,309,888 and 6,309,888 bytes",
        r"cnn, .*\n.*\n  space=2: ranks hold 14,528 and 14,528 bytes",
    ),
    "gan": (
        4,
        r"microbatches=2: .*\n  rank 0 holds G 0\.weight 48×16, D 0\.weight 48×64\n",
        r"tensor=2: .*\n  rank 0 holds G 0\.weight 24×16, G 2\.weight 64×24, D 0\.weight 24×64, D 3\.weight 1×24\n",
    ),
}


def run(script: str, folder: Path) -> str:
    """What it prints, away from the checkout; warnings are errors."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, str(EXAMPLES / f"{script}.py")]
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", cwd=folder, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert not without_compiling(done.stderr), done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_it_prints_what_it_claims(script, tmp_path):
    printed = run(script, tmp_path)
    comparisons, *claims = CLAIMS[script]
    for claim in claims:
        assert re.search(claim, printed), f"{claim} is not in\n{printed}"
    differences = [float(number) for number in DIFFERENCE.findall(printed)]
    assert len(differences) == comparisons, printed
    assert all(difference < 1e-10 for difference in differences), printed
    for more in MORE.get(script, ()):
        more(printed)


def the_slow_worker_gets_less(printed: str) -> None:
    fast, slow = map(int, re.search(r"measured: of 64 houses workers get \[(\d+), (\d+)\]", printed).groups())
    assert fast + slow == 64
    assert fast > 1.5 * slow, printed


def losses_of_one_and_two_are_the_same(printed: str) -> None:
    one, two = (re.findall(r"\d\.\d{4}", line) for line in printed.splitlines()[:2])
    assert one == two
    assert one[-1] < one[0]


def nobody_is_faster_than_foretold(printed: str) -> None:
    runs = [(float(foretold), float(took)) for foretold, took in re.findall(r"(\d\.\d\d) s +(\d+\.\d\d) s", printed)]
    assert len(runs) == 4
    assert all(took >= foretold for foretold, took in runs), printed


def whoever_is_idle_fetches(printed: str) -> None:
    beforehand = "[[0, 1, 2, 3], [4, 5, 6, 7]]"
    runs = [line for line in printed.splitlines() if "longest first" in line]
    assert [line.endswith(beforehand) for line in runs] == [True, False], printed


MORE = {
    "heterogeneous_descent": [the_slow_worker_gets_less],
    "data_parallel": [losses_of_one_and_two_are_the_same],
    "assignment": [nobody_is_faster_than_foretold, whoever_is_idle_fetches],
}


def linked(page: Path) -> Iterator[str]:
    yield from re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8"))


def test_the_page_links_every_script_and_nothing_that_is_not_there():
    links = set(linked(EXAMPLES / "README.md"))
    assert {f"{script}.py" for script in SCRIPTS} <= links
    assert all((EXAMPLES / link).exists() for link in links)


def test_measured_shares_pay(tmp_path):
    """By 2 at the best: 3/4 of the batch at full speed, not 1/2 at a third. Others may use the cores in some runs."""
    found = []
    while len(found) < 6 and not any(1.6 <= times < 2.2 for times in found):
        printed = run("heterogeneous_descent", tmp_path)
        found.append(float(re.search(r"measured shares are (\d\.\d\d) times as fast", printed)[1]))
    assert any(1.6 <= times < 2.2 for times in found), found

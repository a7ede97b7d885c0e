"""The bars beside what was measured."""

from __future__ import annotations

from minipar.bench.bars import BARS, Verdict, best_peer, verdicts
from minipar.bench.summary import Block, Row
from minipar.bench.workloads import WORKLOADS

PEERS = ("torch", "jax")


def row(name: str, seconds: float, foreign: float = 0.0, error: str = "") -> Row:
    return Row(name, blocks=[Block(seconds, seconds, foreign)] * 7, error=error)


def test_every_workload_has_its_bar():
    assert BARS.keys() == WORKLOADS.keys()


def test_ratios_stand_beside_their_bars():
    rows = [row("minipar", 1.0), row("reference", 0.1), row("compiled", 0.5), row("torch", 21.0), row("jax", 1.4)]
    assert verdicts("W1", rows, PEERS) == [
        Verdict("torch", 21.0, 20),
        Verdict("best peer (jax)", 1.4, 1.5),
        Verdict("minipar's own eager, by compiled", 2.0, 1.5),
    ]
    assert [verdict.answer for verdict in verdicts("W1", rows, PEERS)] == ["met", "NOT met", "met"]


def test_a_wrong_or_a_noisy_row_is_nobodys_result():
    rows = [row("minipar", 1.0), row("torch", 21.0, foreign=1.0), row("jax", 0.1, error="wrong")]
    assert best_peer(rows, PEERS) is None
    assert verdicts("W1", rows, PEERS) == [Verdict("torch", None, 20)]
    assert Verdict("torch", None, 20).answer == "–"


def test_nothing_is_claimed_for_a_minipar_that_is_wrong():
    rows = [row("minipar", 1.0, error="wrong"), row("torch", 21.0)]
    assert [verdict.found for verdict in verdicts("W1", rows, PEERS)] == [None, None]

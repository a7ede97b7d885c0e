"""Statistics over blocks, on synthetic timings."""

from __future__ import annotations

import pytest

from minipar.bench.summary import Block, Ratio, Row, check_losses, ratio, remarks


def row(name: str, *blocks: tuple[float, float | None], losses: list[float] | None = None) -> Row:
    """A row whose blocks have these medians and foreign shares, and minima of 0.9 of the median."""
    return Row(name, losses=losses or [], blocks=[Block(m, 0.9 * m, foreign) for m, foreign in blocks])


def test_a_block_keeps_median_and_minimum():
    assert Block.of([3.0, 1.0, 2.0, 9.0], 0.1) == Block(2.5, 1.0, 0.1)


def test_only_quiet_blocks_count():
    noisy = row("a", (1.0, 0.0), (3.0, 0.15), (2.0, 0.1), (0.5, 0.16), (90.0, 1.9))
    assert noisy.quiet_blocks == 3
    assert (noisy.median, noisy.best, noisy.minimum) == (2.0, 1.0, 0.9)
    assert remarks(noisy, noisy) == []


def test_without_a_quiet_block_all_count_and_it_is_said():
    noisy = row("a", (1.0, 0.5), (3.0, 0.6))
    assert (noisy.median, noisy.quiet_blocks) == (2.0, 0)
    assert remarks(noisy, noisy) == ["no quiet block"]
    quiet = row("b", (1.0, 0.0))
    assert ratio(noisy, quiet) is None
    assert ratio(quiet, noisy) is None


def test_where_nothing_is_known_of_others_all_blocks_count_and_nothing_is_claimed():
    unknown = row("a", (1.0, None), (3.0, None))
    assert (unknown.median, unknown.quiet_blocks) == (2.0, None)
    assert remarks(unknown, unknown) == []


def test_the_ratio_is_time_over_the_baselines():
    found = ratio(row("slow", (4.0, 0.0), (6.0, 0.0)), row("fast", (2.0, 0.0), (2.5, 0.0), (1.0, 0.0)))
    assert found == Ratio(median=2.5, best=4.0)
    assert not found.undecided


@pytest.mark.parametrize(
    ("median", "best", "undecided"), [(1.2, 0.9, True), (0.8, 1.1, True), (1.2, 1.1, False), (0.8, 0.7, False)]
)
def test_undecided_when_median_and_best_block_disagree(median, best, undecided):
    assert Ratio(median, best).undecided is undecided
    baseline, other = row("a", (1.0, 0.0)), row("b", (best, 0.0), (2 * median - best, 0.0))
    expected = undecided and best < median  # a best block above the median cannot be built
    assert ("undecided" in remarks(other, baseline)) is expected


def test_a_failed_baseline_leaves_no_ratio_and_an_error_is_a_remark():
    failed = Row("a", error="ended with exit code 1")
    assert remarks(failed, failed) == ["ended with exit code 1"]
    assert remarks(row("b", (1.0, 0.0)), failed) == []


def test_wrong_losses_are_found():
    judge = row("torch", losses=[1.0, 0.5, 0.25])
    assert check_losses(row("a", losses=[1.00009, 0.5, 0.25]), judge) == ""
    assert "step 2 is 0.5001, torch's 0.5" in check_losses(row("a", losses=[1.0, 0.5001, 0.25]), judge)
    assert "nan" in check_losses(row("a", losses=[1.0, 0.5, float("nan")]), judge)

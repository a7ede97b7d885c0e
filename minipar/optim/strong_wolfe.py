"""How far to go along a direction: a line search for the strong Wolfe conditions.

Nocedal & Wright, Numerical optimization (2nd ed.), algorithms 3.5 and 3.6, with the bounds of Mark Schmidt's minFunc,
in the order of PyTorch's, so that both take the same steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from ..backend import namespace


class Trial(NamedTuple):
    """The loss at step length t along the direction, its gradient there and its slope (gradient · direction)."""

    t: Any
    loss: float
    grad: Any
    slope: Any


def strong_wolfe(
    evaluate: Callable[[Any], Trial], start: Trial, t: Any, reach: Any, max_repeats: int, tolerance_change: float
) -> tuple[Trial, int]:
    """A trial t > 0 with loss ≤ loss₀ + 1e-4·t·slope₀ and |slope| ≤ 0.9·|slope₀|, and the number of trials made.

    First t grows until such a point is found or must lie between two trials; then the two close in on it, until they
    are less than `tolerance_change` apart (`reach` is the largest element of the direction) or `max_repeats` more are
    made.
    """
    bracket, trials, repeats = _bracket(evaluate, start, t, max_repeats)
    stuck = False
    while len(bracket) == 2 and repeats < max_repeats:
        (a, b), (low, high) = sorted(trial.t for trial in bracket), _lower_first(bracket)
        if (b - a) * reach < tolerance_change:
            break
        t, stuck = _inside(_cubic_minimum(bracket[0], bracket[1], a, b), a, b, stuck)
        trial = evaluate(t)
        trials, repeats = trials + 1, repeats + 1
        if _too_high(trial, start) or trial.loss >= bracket[low].loss:
            bracket[high] = trial
            continue
        if _flat_enough(trial, start):
            return trial, trials
        if trial.slope * (bracket[high].t - bracket[low].t) >= 0:
            bracket[high] = bracket[low]
        bracket[low] = trial
    return bracket[_lower_first(bracket)[0]], trials


def _bracket(evaluate: Callable[[Any], Trial], start: Trial, t: Any, max_repeats: int) -> tuple[list[Trial], int, int]:
    """One trial that is good enough or two that enclose such a one; how many were made, and how many t was enlarged."""
    before, trial = start, evaluate(t)
    trials, repeats = 1, 0
    while repeats < max_repeats:
        if _too_high(trial, start) or (repeats > 1 and trial.loss >= before.loss):
            return [before, trial], trials, repeats
        if _flat_enough(trial, start):
            return [trial], trials, repeats
        if trial.slope >= 0:
            return [before, trial], trials, repeats
        nearest, farthest = trial.t + 0.01 * (trial.t - before.t), trial.t * 10
        before, trial = trial, evaluate(_cubic_minimum(before, trial, nearest, farthest))
        trials, repeats = trials + 1, repeats + 1
    return [start, trial], trials, repeats


def _too_high(trial: Trial, start: Trial) -> bool:
    return bool(trial.loss > start.loss + 1e-4 * trial.t * start.slope)


def _flat_enough(trial: Trial, start: Trial) -> bool:
    return bool(abs(trial.slope) <= -0.9 * start.slope)


def _lower_first(bracket: list[Trial]) -> tuple[int, int]:
    return (0, 1) if bracket[0].loss <= bracket[-1].loss else (1, 0)


def _inside(t: Any, a: Any, b: Any, stuck: bool) -> tuple[Any, bool]:
    """t itself, or a tenth of [a, b] from its end if t comes too close to that twice running (or lies on it)."""
    margin = 0.1 * (b - a)
    if min(b - t, t - a) >= margin:
        return t, False
    if not (stuck or t >= b or t <= a):
        return t, True
    return (b - margin if abs(t - b) < abs(t - a) else a + margin), False


def _cubic_minimum(first: Trial, second: Trial, least: Any, most: Any) -> Any:
    """Where the cubic through two trials is smallest, within bounds; their middle where it has no minimum."""
    if first.t > second.t:
        first, second = second, first
    d1 = first.slope + second.slope - 3 * (first.loss - second.loss) / (first.t - second.t)
    square = d1**2 - first.slope * second.slope
    if not square >= 0:
        return (least + most) / 2.0
    d2 = namespace(square).sqrt(square)
    t = second.t - (second.t - first.t) * ((second.slope + d2 - d1) / (second.slope - first.slope + 2 * d2))
    return min(max(t, least), most)

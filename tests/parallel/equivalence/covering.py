"""A few cases out of very many, such that any two choices (or three) meet in one of them.

Most mistakes need no more than two particular choices (a schedule and a loss, a dtype and a backend) to show: Kuhn,
Wallace and Gallo, "Software fault interactions", IEEE TSE 2004. The way is greedy, as in AETG (Cohen et al., IEEE TSE
1997), but without chance: the same factors give the same cases.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import combinations, product
from typing import Any

import numpy as np

Case = tuple[Any, ...]


def meetings(factors: Sequence[Sequence[Any]], cases: np.ndarray, strength: int) -> np.ndarray:
    """int64 (cases, groups of `strength` factors): a number for which choices meet there; `cases` are of indices."""
    columns, offset = [], 0
    for group in combinations(range(len(factors)), strength):
        number = np.zeros(len(cases), np.int64)
        for factor in group:
            number = number * len(factors[factor]) + cases[:, factor]
        columns.append(number + offset)
        offset += math.prod(len(factors[factor]) for factor in group)
    return np.stack(columns, axis=1)


def covering(
    factors: Sequence[Sequence[Any]],
    applies: Callable[[Case], bool],
    strength: int = 2,
    costs: Callable[[Case], float] = lambda case: 0.0,
) -> list[Case]:
    """Cases such that any `strength` choices that meet in some case that applies meet in one of these.

    Each is, of the cases in which the rarest of the missing meetings happens, the one with the most missing meetings;
    of equals the cheapest; of these the one of choices that have been made least often.
    """
    every = [case for case in product(*factors) if applies(case)]
    places = [{value: i for i, value in enumerate(factor)} for factor in factors]
    cases = np.array([[place[value] for place, value in zip(places, case)] for case in every])
    ids = meetings(factors, cases, strength)
    choices = meetings(factors, cases, 1)
    prices = np.array([costs(case) for case in every])
    often = np.zeros(choices.max() + 1)
    counts = np.bincount(ids.ravel())
    missing = counts > 0
    order = np.argsort(counts, kind="stable")
    holders = np.argsort(ids.ravel(), kind="stable") // ids.shape[1]  # the cases of each meeting, side by side
    ends = np.cumsum(counts)
    chosen = []
    for meeting in order[counts[order] > 0]:
        if missing[meeting]:
            candidates = holders[ends[meeting] - counts[meeting] : ends[meeting]]
            new = missing[ids[candidates]].sum(1)
            used = often[choices[candidates]].sum(1)
            best = candidates[np.lexsort((used, prices[candidates], -new))[0]]
            chosen.append(every[best])
            missing[ids[best]] = False
            often[choices[best]] += 1
    return chosen

"""Would the checks notice a wrong gradient? Break every one on purpose and see.

For each operation with a vjp, its vjp is replaced by mutants:

    scaled      every gradient × 1.0001, one input at a time
    dropped     one gradient is zero
    transposed  one gradient's last two axes are swapped, where they are of equal length
    swapped     two gradients of equal shape change places

and the very check that tests/ops uses (`gradcheck` with its tolerances, on the examples of the table) must fail. A
mutant that never changes a number (a symmetric gradient transposed, equal gradients swapped, a zero dropped) is no
mutant: it is counted as one that cannot be built, by name, never skipped in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pytest

import minipar
from minipar.autograd import GradcheckError, gradcheck
from minipar.ops.flat import Flat
from minipar.ops.op import Op
from tests.ops.case import Case
from tests.ops.table import TABLE, every_op
from tests.ops.test_op_gradients import STRICT, example, function

Gradients = list[Any]
Mutation = Callable[[Gradients], Gradients]
OPS = sorted((op for op in every_op() if op.vjp is not Op.vjp), key=lambda op: op.__name__)
FACTOR = 1.0001


def replaced(i: int, change: Callable[[Any], Any]) -> Mutation:
    def mutate(grads: Gradients) -> Gradients:
        return [change(g) if k == i and g is not None else g for k, g in enumerate(grads)]

    return mutate


def transposed(g: Any) -> Any:
    square = len(g.shape) > 1 and g.shape[-1] == g.shape[-2]
    return g.swapaxes(-1, -2) if square and isinstance(g, np.ndarray) else g


def swapped(i: int, j: int) -> Mutation:
    def mutate(grads: Gradients) -> Gradients:
        if j < len(grads) and all(grads[k] is not None for k in (i, j)) and grads[i].shape == grads[j].shape:
            grads[i], grads[j] = grads[j], grads[i]
        return grads

    return mutate


def mutations(inputs: int) -> Iterator[tuple[str, Mutation]]:
    for i in range(inputs):
        yield f"gradient {i} × {FACTOR}", replaced(i, lambda g: g * FACTOR)
        yield f"gradient {i} dropped", replaced(i, lambda g: g * 0.0)
        yield f"gradient {i} transposed", replaced(i, transposed)
    for i, j in combinations(range(inputs), 2):
        yield f"gradients {i} and {j} swapped", swapped(i, j)


class Breaker:
    """Replaces the vjp of one operation, and notes whether that ever changed a number."""

    def __init__(self, patch: pytest.MonkeyPatch, op: type[Op], mutation: Mutation | None) -> None:
        self.changed = False
        self.most = 0  # gradients that the vjp was seen to return
        vjp = op.vjp

        def broken(node: Op, grad: Any, *saved: Any) -> Any:
            right = vjp(node, grad, *saved)
            grads = list(right) if isinstance(right, tuple) else [right]
            self.most = max(self.most, len(grads))
            if mutation is None:
                return right
            wrong = mutation(list(grads))
            for node_needs, g, w in zip(node.needs, grads, wrong):
                if node_needs and g is not w:
                    self.changed |= not np.array_equal(values(g), values(w), equal_nan=True)
            return tuple(wrong)

        patch.setattr(op, "vjp", broken)


def values(g: Any) -> np.ndarray:
    return np.asarray(getattr(g, "array", g))


def cases_by_op() -> dict[type[Op], tuple[list[Case], int]]:
    """For each operation the cases whose backward pass runs its vjp, and how many gradients that returns.

    One pass over the table: every vjp notes that it ran, and with how many gradients.
    """
    found: dict[type[Op], tuple[list[Case], int]] = {op: ([], 0) for op in OPS}
    for case in TABLE:
        if not case.derivative:
            continue
        with pytest.MonkeyPatch.context() as patch:
            breakers = {op: Breaker(patch, op, None) for op in OPS}
            inputs = example(case)
            minipar.autograd.grad(function(case)(*inputs).sum(), inputs, allow_unused=True)
        for op, breaker in breakers.items():
            if breaker.most:
                cases, most = found[op]
                found[op] = [*cases, case], max(most, breaker.most)
    return found


def survives(op: type[Op], mutation: Mutation, cases: list[Case]) -> bool | None:
    """Did every check pass with the mutant in place? None if it never changed a number."""
    changed = False
    for case in cases:
        with pytest.MonkeyPatch.context() as patch:
            breaker = Breaker(patch, op, mutation)
            try:
                gradcheck(function(case), example(case), **STRICT)
            except GradcheckError:
                return False
            changed |= breaker.changed
    return True if changed else None


@dataclass
class Verdict:
    """What became of the mutants of one operation."""

    cases: list[Case]
    killed: list[str] = field(default_factory=list)
    survivors: list[str] = field(default_factory=list)
    unbuildable: list[str] = field(default_factory=list)


def judge(op: type[Op], cases: list[Case], inputs: int) -> Verdict:
    verdict = Verdict(cases)
    for name, mutation in mutations(inputs):
        alive = survives(op, mutation, cases)
        where = verdict.unbuildable if alive is None else verdict.survivors if alive else verdict.killed
        where.append(name)
    return verdict


@pytest.fixture(scope="module")
def verdicts() -> dict[type[Op], Verdict]:
    return {op: judge(op, cases, inputs) for op, (cases, inputs) in cases_by_op().items()}


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.__name__)
def test_every_mutant_is_noticed(op: type[Op], verdicts: dict[type[Op], Verdict]) -> None:
    verdict = verdicts[op]
    assert verdict.cases, f"no case of the table runs the gradient of {op.__name__}"
    assert not verdict.survivors, f"{op.__name__}: {[case.name for case in verdict.cases]} miss {verdict.survivors}"
    assert verdict.killed or issubclass(op, Flat), f"{op.__name__}: no mutant could be built"


def test_how_many_mutants_were_made(verdicts: dict[type[Op], Verdict]) -> None:
    killed = sum(len(verdict.killed) for verdict in verdicts.values())
    unbuildable = {
        op.__name__: verdict.unbuildable
        for op, verdict in verdicts.items()
        if verdict.unbuildable and not issubclass(op, Flat)  # a gradient that is 0 anyway
    }
    count = sum(map(len, unbuildable.values()))
    print(f"{killed} mutants of {len(OPS)} operations, none survived; {count} cannot be built:")
    for name, mutants in unbuildable.items():
        print(f"  {name}: {', '.join(mutants)}")
    assert killed >= 600
    assert count <= 145

"""Einstein summation: every index on the right of -> is kept, every other is summed over.

Operands are taken two at a time, from left to right. Of a pair each index is of one of four kinds, and that makes it
one batched matrix product:

    batch       in both, and needed later      (b, m, k) @ (b, k, n) → (b, m, n)
    contracted  in both, and not needed        k
    left        in the first alone             m
    right       in the second alone            n
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .accepts import rank
from .linalg import matmul
from .op import promoted
from .reduce import sum
from .shape import permute, reshape
from .triangle import diagonal

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def einsum(*args: Any) -> Any:
    """`einsum("bij,bjk->bik", a, b)`: the sum of products over all indices that are not in the output.

    Without -> the output has the indices that occur once, in alphabetical order; `...` stands for any further axes,
    which are broadcast, and summed where the output after -> has no `...`. The other spelling is
    `einsum(a, [0, 1], b, [1, 2], [0, 2])`. RuntimeError where equation and operands do not fit.

    >>> a, b = minipar.ones(2, 3), minipar.ones(3, 4)
    >>> minipar.einsum("ij,jk->ik", a, b).shape
    (2, 4)
    >>> minipar.einsum("ij->", a)
    tensor(6.)
    """
    equation, operands = _equation(args)
    inputs, output = _parsed(equation, operands)
    terms = [_without_repeats(x, labels) for x, labels in zip(operands, inputs)]
    sizes = _sizes(equation, terms)
    terms = [_without_ones(x, labels, sizes) for x, labels in terms]
    missing = [label for label in output if label not in sizes]
    if missing:
        raise RuntimeError(f"einsum: output index {missing[0]!r} of {equation!r} is in no operand")
    x, labels = terms[0]
    for i, (y, others) in enumerate(terms[1:], 1):
        later = set(output).union(*[set(named) for _, named in terms[i + 1 :]])
        x, labels = _product(x, labels, y, others, later)
    x, labels = _summed(x, labels, set(output))
    return permute(x, [labels.index(label) for label in output])


def _equation(args: tuple) -> tuple[str, list[Any]]:
    """The equation as text, and the operands."""
    if not args:
        raise TypeError("einsum: expected an equation and operands, got nothing")
    if isinstance(args[0], str):
        operands = list(args[1:])
        if len(operands) == 1 and isinstance(operands[0], (list, tuple)):
            operands = list(operands[0])
        return args[0].replace(" ", ""), operands
    operands, lists = list(args[0::2]), list(args[1::2])
    output = operands.pop() if len(args) % 2 else None
    text = ",".join(map(_letters, lists))
    return (text if output is None else f"{text}->{_letters(output)}"), operands


def _letters(numbers: Sequence[Any]) -> str:
    for n in numbers:
        if n is not Ellipsis and not (isinstance(n, int) and 0 <= n < len(LETTERS)):
            raise RuntimeError(f"einsum: an index number must be in [0, {len(LETTERS)}) or ..., not {n!r}")
    return "".join("..." if n is Ellipsis else LETTERS[n] for n in numbers)


def _parsed(equation: str, operands: list[Any]) -> tuple[list[list[Any]], list[Any]]:
    """The labels of each operand's axes and of the output's: letters, and negative numbers for the axes under `...`."""
    left, arrow, right = equation.partition("->")
    parts = left.split(",")
    if len(parts) != len(operands) or not operands:
        raise RuntimeError(f"einsum: {equation!r} names {len(parts)} operands, got {len(operands)}")
    inputs = [_axes(equation, part, rank(x)) for part, x in zip(parts, operands)]
    dots = sorted({label for labels in inputs for label in labels if isinstance(label, int)})
    if not arrow:
        named = [label for labels in inputs for label in labels if isinstance(label, str)]
        return inputs, [*dots, *sorted(label for label in set(named) if named.count(label) == 1)]
    hidden = len(dots) if "..." in right else 0
    output = _axes(equation, right, len(right.replace("...", "")) + hidden)
    if len(set(output)) < len(output):
        raise RuntimeError(f"einsum: the output of {equation!r} names an index twice")
    return inputs, output


def _axes(equation: str, part: str, ndim: int) -> list[Any]:
    before, dots, after = part.partition("...")
    if any(letter not in LETTERS for letter in before + after):
        raise RuntimeError(f"einsum: {equation!r} may hold letters, commas, -> and one ... an operand")
    hidden = ndim - len(before + after)
    if hidden < 0 or (hidden and not dots):
        raise RuntimeError(f"einsum: {part!r} of {equation!r} names {len(before + after)} axes, the operand has {ndim}")
    return [*before, *range(-hidden, 0), *after]


def _without_repeats(x: Any, labels: list[Any]) -> tuple[Any, list[Any]]:
    """An index that an operand names twice takes the diagonal."""
    labels = list(labels)
    for label in [label for label in dict.fromkeys(labels) if labels.count(label) > 1]:
        while labels.count(label) > 1:
            first = labels.index(label)
            second = labels.index(label, first + 1)
            if x.shape[first] != x.shape[second]:
                raise RuntimeError(
                    f"einsum: index {label!r} is repeated in one operand for axes of sizes {x.shape[first]} and "
                    f"{x.shape[second]}; they must be equal"
                )
            x = diagonal(x, 0, first, second)
            labels = [named for i, named in enumerate(labels) if i not in (first, second)] + [label]
    return x, labels


def _sizes(equation: str, terms: list[tuple[Any, list[Any]]]) -> dict[Any, int]:
    sizes: dict[Any, int] = {}
    for x, labels in terms:
        for label, n in zip(labels, x.shape):
            before = sizes.get(label, 1)
            if 1 not in (before, n) and before != n:
                raise RuntimeError(f"einsum: index {label!r} of {equation!r} has sizes {before} and {n}")
            sizes[label] = n if before == 1 else before
    return sizes


def _summed(x: Any, labels: list[Any], needed: set) -> tuple[Any, list[Any]]:
    """The sum over every index that nobody needs."""
    dims = [i for i, label in enumerate(labels) if label not in needed]
    if not dims:
        return x, labels
    return sum(x, dims), [label for label in labels if label in needed]


def _product(x: Any, of_x: list[Any], y: Any, of_y: list[Any], later: set) -> tuple[Any, list[Any]]:
    """The product of two operands, summed over what is not needed later; and the labels of its axes."""
    x, of_x = _summed(x, of_x, later | set(of_y))
    y, of_y = _summed(y, of_y, later | set(of_x))
    if x.dtype.kind in "iu" and y.dtype.kind in "iu":  # small ones, once summed, are int64
        x, y = promoted((x, y))
    batch = [n for n in of_x if n in of_y and n in later]
    contracted = [n for n in of_x if n in of_y and n not in later]
    left = [n for n in of_x if n not in of_y]
    right = [n for n in of_y if n not in of_x]

    sizes = {**dict(zip(of_x, x.shape)), **dict(zip(of_y, y.shape))}

    def arranged(z: Any, labels: list[Any], *groups: list[Any]) -> Any:
        """z with its axes in the order of the groups, each group as one axis."""
        z = permute(z, [labels.index(n) for group in groups for n in group])
        return reshape(z, [math.prod(sizes[n] for n in group) for group in groups])

    z = matmul(arranged(x, of_x, batch, left, contracted), arranged(y, of_y, batch, contracted, right))
    labels = [*batch, *left, *right]
    return reshape(z, [sizes[n] for n in labels]), labels


def _without_ones(x: Any, labels: list[Any], sizes: dict[Any, int]) -> tuple[Any, list[Any]]:
    """An axis of size 1 whose index is longer in another operand is left out: the product broadcasts over it."""
    kept = [i for i, label in enumerate(labels) if x.shape[i] == sizes[label]]
    if len(kept) == len(labels):
        return x, labels
    return reshape(x, [x.shape[i] for i in kept]), [labels[i] for i in kept]

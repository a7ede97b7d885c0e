"""The algorithms by name."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace

from . import halving_doubling, master, ring, tree
from .cost import Cost, lower_bound
from .peers import Algorithm

ALGORITHMS: dict[str, Algorithm] = {
    "ring": ring.all_reduce,
    "tree": tree.all_reduce,
    "halving-doubling": halving_doubling.all_reduce,
    "master": master.all_reduce,
}
_COSTS: dict[str, Callable[[int, int], Cost]] = {
    "ring": ring.cost,
    "tree": tree.cost,
    "halving-doubling": halving_doubling.cost,
    "master": master.cost,
    "lower bound": lower_bound,
}


def find(algorithm: str | Algorithm, also: Iterable[str] = ()) -> Algorithm | None:
    """The generator function of this name, or the one that is given; None for one of the names in `also`.

    ValueError for an unknown name, TypeError for what is neither a name nor a generator function.
    """
    names = (*also, *ALGORITHMS)
    if isinstance(algorithm, str):
        if algorithm not in names:
            raise ValueError(f"algorithm={algorithm!r} is unknown: choose one of {', '.join(names)}")
        return ALGORITHMS.get(algorithm)
    if not inspect.isgeneratorfunction(algorithm):
        raise TypeError(
            f"algorithm={algorithm!r} must be a name ({', '.join(names)}) or a generator function of (peers, flat, "
            f"op), which says `yield from` before each message"
        )
    return algorithm


def name_of(algorithm: str | Algorithm) -> str:
    """Its name, as all ranks know it: the same function is another object in every process."""
    return algorithm if isinstance(algorithm, str) else getattr(algorithm, "__name__", "of one's own")


def all_reduce_cost(algorithm: str, size: int, nbytes: int, itemsize: int = 1) -> Cost:
    """Count the steps and bytes of an all-reduce of `nbytes` bytes on each of `size` ranks.

    `algorithm` is "ring", "tree", "halving-doubling", "master", or "lower bound": what none can do without. `itemsize`
    is an element's size in bytes: elements are not cut, so pieces of an array are not always of equal length.

    Returns counts in the terms of α (seconds a message), β (seconds a byte sent) and γ (seconds a byte reduced):

    | attribute | is |
    |---|---|
    | `steps` | messages on the critical path, α's factor |
    | `path_bytes` | bytes sent on the critical path, β's factor |
    | `reduced` | bytes reduced on the critical path, γ's factor |
    | `bytes` | bytes that the busiest rank sends |

    and `seconds(alpha, beta, gamma=0)`, their sum. Formulas: Thakur, Rabenseifner and Gropp, "Optimization of
    Collective Communication Operations in MPICH", 2005; lower bound: Patarasuk and Yuan, 2009. `simulate_all_reduce`
    counts the same by running. ValueError for an unknown algorithm, for fewer than one rank, or for bytes that are no
    whole number of elements.

    >>> cost = minipar.parallel.all_reduce_cost
    >>> for name in ("ring", "tree", "halving-doubling", "master", "lower bound"):
    ...     c = cost(name, size=8, nbytes=8_000_000)
    ...     print(f"{name:16}  {c.steps:2} steps  {c.bytes:8} bytes  {1e3 * c.seconds(20e-6, 1e-9):6.2f} ms")
    ring              14 steps  14000000 bytes   14.28 ms
    tree               6 steps  24000000 bytes   48.12 ms
    halving-doubling   6 steps  14000000 bytes   14.12 ms
    master            14 steps  56000000 bytes  112.28 ms
    lower bound        3 steps  14000000 bytes   14.06 ms
    """
    if algorithm not in _COSTS:
        raise ValueError(f"algorithm={algorithm!r} is unknown: choose one of {', '.join(_COSTS)}")
    if size < 1:
        raise ValueError(f"size={size} must be at least 1 rank")
    if itemsize < 1 or nbytes < 0 or nbytes % itemsize:
        raise ValueError(f"nbytes={nbytes} is no whole number of elements of itemsize={itemsize} bytes")
    elements = _COSTS[algorithm](size, nbytes // itemsize)
    return replace(
        elements,
        bytes=elements.bytes * itemsize,
        path_bytes=elements.path_bytes * itemsize,
        reduced=elements.reduced * itemsize,
    )

"""What the lanes of a warp do together: each function takes the lanes' arguments and returns the lanes' results.

``arguments`` maps the lanes that take part, in order, to what each of them called the function with.
"""

from collections.abc import Callable
from typing import Any

Arguments = dict[int, tuple]
WARP = 32
ALL_LANES = 0xFFFFFFFF


def syncwarp(arguments: Arguments) -> list[Any]:
    return [None] * len(arguments)


def _shuffle(source: Callable[[int, int], int]) -> Callable[[Arguments], list[Any]]:
    """Lane l gets the value of lane ``source(l, its last argument)``, its own where there is no such lane."""

    def shuffle(arguments: Arguments) -> list[Any]:
        results = []
        for lane, (_, value, number) in arguments.items():
            chosen = source(lane, number)
            if not 0 <= chosen < WARP:
                results.append(value)
            elif chosen in arguments:
                results.append(arguments[chosen][1])
            else:
                raise LookupError(f"lane {lane} reads the value of lane {chosen}, which takes no part")
        return results

    return shuffle


def ballot(arguments: Arguments) -> list[int]:
    return [sum(1 << lane for lane, (_, predicate) in arguments.items() if predicate)] * len(arguments)


def _vote(decide: Callable[[Any], bool]) -> Callable[[Arguments], list[bool]]:
    return lambda arguments: [decide(predicate for _, predicate in arguments.values())] * len(arguments)


COLLECTIVES: dict[str, Callable[[Arguments], list[Any]]] = {
    "syncwarp": syncwarp,
    "shfl_sync": _shuffle(lambda lane, source: source % WARP),
    "shfl_up_sync": _shuffle(lambda lane, delta: lane - delta),
    "shfl_down_sync": _shuffle(lambda lane, delta: lane + delta),
    "shfl_xor_sync": _shuffle(lambda lane, bits: lane ^ bits),
    "ballot_sync": ballot,
    "any_sync": _vote(any),
    "all_sync": _vote(all),
}

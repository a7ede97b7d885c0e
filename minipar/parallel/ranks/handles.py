"""`Handle`: stands for an object that a pool's workers have, or will be sent when they first need it."""

import pickle
from collections.abc import Callable
from typing import Any


class Handle:
    """What `Pool.put` returns: as an argument of `Pool.run`, or inside one, it becomes the object on its way."""

    def __init__(self, number: int, mention: Callable[[int], None], what: str) -> None:
        self._number = number
        self._mention = mention
        self._what = what

    def __reduce__(self) -> tuple[Any, ...]:
        """TypeError except on the way to a worker of the same pool: elsewhere nobody has the object."""
        self._mention(self._number)
        return _held_object, (self._number,)

    def __repr__(self) -> str:
        return f"<Handle of {self._what}>"


# -- in a worker -------------------------------------------------------------------------------------------------------

held: dict[int, Any] = {}  # by the number of the handle
_packed: dict[int, list[memoryview]] = {}  # stream and buffers


def hold(number: int, packed: list[memoryview]) -> None:
    """Keep an object for the tasks to come; it is unpickled when the first of them asks for it."""
    _packed[number] = packed


def forget(number: int) -> None:
    _packed.pop(number, None)
    held.pop(number, None)


def _held_object(number: int) -> Any:
    if number not in held:
        stream, *buffers = _packed[number]
        held[number] = pickle.loads(stream, buffers=buffers)
        del _packed[number]
    return held[number]

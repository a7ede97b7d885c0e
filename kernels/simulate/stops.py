"""Where a thread waits for others."""

from collections.abc import Callable
from typing import Any, NamedTuple

from .collectives import ALL_LANES, COLLECTIVES, WARP, Arguments
from .errors import here, kernel_frame


class Barrier(NamedTuple):
    """``cuda.syncthreads()``: until all threads of the block are there."""

    line: int


class Collective(NamedTuple):
    """A function of a warp: until all lanes that ``mask`` names are there; they go on with their results."""

    line: int
    name: str
    function: Callable[[Arguments], list[Any]]
    mask: int
    arguments: tuple


Stop = Barrier | Collective


class Waiting:
    """A function in whose call a thread waits: the translated kernel yields what ``stop`` returns."""

    def __init__(self, name: str, stop: Callable[..., Stop]):
        self.name, self.stop = name, stop

    def __call__(self, *args: Any) -> Any:
        raise NotImplementedError(f"the simulator knows {self.name} by its own name only{here()}")


def barrier() -> Barrier:
    return Barrier(kernel_frame().f_lineno)


def collective(name: str) -> Callable[..., Collective]:
    """``cuda.<name>(mask, …)`` of a lane."""

    def call(mask: int = ALL_LANES, *arguments: Any) -> Collective:
        return Collective(kernel_frame().f_lineno, name, COLLECTIVES[name], mask & ALL_LANES, (mask, *arguments))

    return call


def intrinsic(name: str, twin: Callable[..., Any]) -> Callable[..., Collective]:
    """An intrinsic of a whole warp, whose ``twin`` takes the arguments of 32 lanes."""

    def together(arguments: Arguments) -> list[Any]:
        if len(arguments) != WARP:
            raise LookupError(f"{name} needs {WARP} lanes, its warp has {len(arguments)}")
        return twin(list(arguments.values()))

    def call(*arguments: Any) -> Collective:
        return Collective(kernel_frame().f_lineno, name, together, ALL_LANES, arguments)

    return call

"""Runs one block: every thread up to where it waits, then those that have all they wait for, until all returned."""

import itertools
from collections.abc import Callable, Generator
from itertools import groupby
from typing import Any

from .clock import Clock, Turn
from .collectives import WARP, syncwarp
from .device import Device
from .errors import KernelError, raised
from .extent import Index3
from .stops import Barrier, Collective, Stop
from .traffic import Traffic

Thread = Generator[Stop, Any, None]
WAITS = 100_000  # of the threads of a block for each other; more, and the kernel is taken for endless


class Block:
    """The threads of one block in lockstep: ``stops`` says where each of them waits, None if it has returned."""

    def __init__(self, number: int, start: Callable[[], Thread], positions: list[Index3], device: Device, clock: Clock):
        self.number, self.device, self.clock, self.positions = number, device, clock, positions
        self.threads = [start() for _ in positions]
        self.stops: list[Stop | None] = [None] * len(positions)
        self.replies: list[Any] = [None] * len(positions)
        self.warps = [range(n, min(n + WARP, len(positions))) for n in range(0, len(positions), WARP)]
        self.epochs = [0] * len(self.warps)
        self.barriers = 0

    def run(self, traffic: Traffic | None) -> None:
        every = ready = list(range(len(self.threads)))
        for waits in itertools.count():
            if not ready:
                return
            if waits > WAITS:
                raise KernelError(f"a loop that does not end? After {WAITS} waits, {self._places(range(len(every)))}")
            for warp, lanes in groupby(ready, lambda number: number // WARP):
                for number in lanes:
                    self.clock.now = Turn(self.number, self.barriers, warp, self.epochs[warp], number)
                    if traffic is not None:
                        traffic.start_lane()
                    self._resume(number)
                if traffic is not None:
                    traffic.end_warp()
            ready = [number for warp in range(len(self.warps)) for number in self._exchange(warp)]
            if not ready and self._pass_barrier():
                ready = every

    def _resume(self, number: int) -> None:
        self.device.threadIdx, self.clock.rounds = self.positions[number], 0
        reply, self.replies[number] = self.replies[number], None
        try:
            self.stops[number] = self.threads[number].send(reply)
        except StopIteration:
            self.stops[number] = None
        except (KernelError, NotImplementedError):
            raise
        except Exception as error:  # 1 // 0, an undefined name, or what the kernel itself raises
            raise raised(error) from error

    def _exchange(self, warp: int) -> list[int]:
        """Carry out what the lanes of a warp wait for, where all of them are there; returns who can go on."""
        ready = []
        waiting: dict[tuple, dict[int, Collective]] = {}
        for number in self.warps[warp]:
            stop = self.stops[number]
            if isinstance(stop, Collective):
                waiting.setdefault((stop.line, stop.name, stop.mask), {})[number] = stop
        for (line, name, mask), there in waiting.items():
            if list(there) != [number for number in self.warps[warp] if mask >> number % WARP & 1]:
                continue
            function = next(iter(there.values())).function
            try:
                results = function({number % WARP: stop.arguments for number, stop in there.items()})
            except LookupError as error:
                raise KernelError(f"{name}: {error.args[0]}, in line {line}") from None
            for number, result in zip(there, results):
                self.replies[number] = result
            if function is syncwarp and len(there) == len(self.warps[warp]):
                self.epochs[warp] += 1
            ready += there
        return sorted(ready)

    def _pass_barrier(self) -> bool:
        """May all threads go on behind one barrier? False if all have returned. KernelError if some wait in vain."""
        for lanes in self.warps:
            if any(isinstance(self.stops[number], Collective) for number in lanes):
                raise KernelError(f"divergent warp collective: {self._places(lanes)}")
        lines = {stop and stop.line for stop in self.stops}
        if len(lines) > 1:
            raise KernelError(f"divergent barrier: {self._places(range(len(self.stops)))}")
        if None in lines:
            return False
        self.barriers += 1
        return True

    def _places(self, numbers: range) -> str:
        """Who waits where, of these threads."""
        places: dict[str, list[int]] = {}
        for number in numbers:
            places.setdefault(_where(self.stops[number]), []).append(number)
        words = [
            f"{len(there)} thread{'s' * (len(there) > 1)} {where} (the first is {self.clock.thread(there[0])})"
            for where, there in sorted(places.items(), key=lambda place: (place[0] != RETURNED, place))
        ]
        return f"{', '.join(words)}, in {self.clock.block(self.number)}"


RETURNED = "returned"


def _where(stop: Stop | None) -> str:
    if stop is None:
        return RETURNED
    return (
        f"waiting at line {stop.line}" if isinstance(stop, Barrier) else f"waiting for {stop.name} in line {stop.line}"
    )

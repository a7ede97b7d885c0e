"""Random programs. The randomness is a `random.Random`: one with a seed, or Hypothesis's, which then shrinks.

Every choice lists the simplest first, because that is what Hypothesis shrinks to.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, TypeVar

from tests.parallel.contract.arrays import DTYPES, LARGE, LAYOUTS, MIDDLING, SHAPES
from tests.parallel.contract.model import UFUNCS, allowed
from tests.parallel.contract.steps import (
    Barrier,
    Collective,
    Delay,
    Exchange,
    Message,
    ObjectCollective,
    Program,
    Split,
    Step,
    members,
    out_shape,
)

VERBS = (
    "all_reduce",
    "broadcast",
    "reduce",
    "all_gather",
    "gather",
    "scatter",
    "reduce_scatter",
    "all_to_all",
)
OBJECT_VERBS = ("broadcast_object", "all_gather_object", "gather_object", "scatter_object")
ALGORITHMS = ("ring", "tree", "halving-doubling", "master", "own")
Item = TypeVar("Item")


class Drawing:
    """Draws the steps of a program for `size` ranks."""

    def __init__(self, random: Random, size: int, depth: int = 2) -> None:
        self.random = random
        self.size = size
        self._depth = depth  # how deep groups may be split

    def one(self, things: Sequence[Item]) -> Item:
        return things[self.random.randint(0, len(things) - 1)]

    def rarely(self, one_in: int) -> bool:
        return self.random.randint(1, one_in) == one_in

    def rank(self) -> int:
        return self.random.randint(0, self.size - 1)

    def seed(self) -> int:
        return self.random.randint(0, 2**20)

    def shape(self) -> tuple[int, ...]:
        return LARGE if self.rarely(25) else self.one(MIDDLING) if self.rarely(6) else self.one(SHAPES)

    def layout(self) -> str:
        return self.one(LAYOUTS) if self.rarely(2) else "plain"

    def delay(self, one_in: int = 4) -> Delay:
        return self.random.randint(0, 3) if self.rarely(one_in) else None

    def late(self) -> int | None:
        return self.rank() if self.rarely(10) else None

    def each(self, draw: Any) -> tuple[Any, ...]:
        return tuple(draw() for _ in range(self.size))

    def alike_or_each(self, draw: Any) -> tuple[Any, ...]:
        """The same for all ranks, one time in two."""
        return self.each(draw) if self.rarely(2) else (draw(),) * self.size

    # -- steps -------------------------------------------------------------------------------------------------------

    def step(self) -> Step:
        kind = self.random.randint(0, 19)
        if kind < 11:
            return self.collective()
        if kind < 15:
            return self.exchange()
        if kind < 16:
            return Barrier(self.each(self.delay), self.late())
        if kind < 18:
            return ObjectCollective(self.one(OBJECT_VERBS), self.seed(), self.rank())
        return self.split() if self._depth else self.collective()

    def steps(self, most: int) -> tuple[Step, ...]:
        return tuple(self.step() for _ in range(self.random.randint(0, most)))

    def collective(self) -> Collective:
        verb = "all_reduce" if self.rarely(4) else self.one(VERBS)
        dtype = self.one(("d", "f", ">f8")) if self.rarely(3) else self.one(DTYPES)
        op = (
            "mean"
            if allowed("mean", dtype) and self.rarely(3)
            else self.one([op for op in UFUNCS if allowed(op, dtype)])
        )
        registered = self.alike_or_each(lambda: not self.rarely(3)) if self.rarely(3) else ()
        asynchronous = self.rarely(3)
        step = Collective(
            verb,
            self.seed(),
            self.one(MIDDLING) if registered and self.rarely(2) else self.shape(),
            dtype,
            op=op,
            root=self.rank(),
            algorithm=self.one(ALGORITHMS) if verb == "all_reduce" and self.rarely(2) else None,
            layouts=self.alike_or_each(self.layout),
            registered=registered,
            delays=self.each(lambda: self.delay(2) if asynchronous else None),
            late=self.late(),
        )
        passes_out = verb != "broadcast" and self.rarely(2)
        layouts = self.alike_or_each(self.layout)
        outs = tuple(
            layout if passes_out and out_shape(step, rank, self.size) is not None else None
            for rank, layout in enumerate(layouts)
        )
        fields = {**step.__dict__, "outs": outs, "registered_outs": None not in outs and self.rarely(4)}
        return Collective(**fields)

    def exchange(self) -> Exchange:
        """Any messages between any ranks; or, one in two, round a ring."""
        if self.rarely(2):
            shift, message = self.rank(), self.message(0, 0)
            messages = [
                Message(**{**message.__dict__, "source": rank, "dest": (rank + shift) % self.size})
                for rank in range(self.size)
            ]
        else:
            messages = [self.message(self.rank(), self.rank()) for _ in range(self.random.randint(1, 6))]
        receive_first = self.rarely(3)
        if receive_first:  # objects have no irecv
            messages = [m for m in messages if m.dtype is not None]
        return Exchange(tuple(messages), self.receive_order(messages), receive_first)

    def message(self, source: int, dest: int) -> Message:
        is_object = self.rarely(5)
        return Message(
            source,
            dest,
            self.random.randint(0, 2) + (100 if is_object else 0),
            self.seed(),
            self.shape(),
            None if is_object else self.one(DTYPES),
            layout=self.layout(),
            out=self.layout() if self.rarely(3) else None,
            send_delay=self.delay(3),
            receive_delay=self.delay(3),
        )

    def receive_order(self, messages: list[Message]) -> tuple[int, ...]:
        """Any order in which messages of one source, dest and tag stay in theirs."""
        waiting = list(range(len(messages)))
        order = []
        while waiting:
            first = [
                i
                for place, i in enumerate(waiting)
                if not any(_envelope(messages[i]) == _envelope(messages[j]) for j in waiting[:place])
            ]
            order.append(self.one(first))
            waiting.remove(order[-1])
        return tuple(order)

    def split(self) -> Split:
        colors = self.each(lambda: None if self.rarely(6) else self.random.randint(0, 2))
        keys = self.each(lambda: self.random.randint(-2, 2))
        parts: list[dict[int, tuple[Step, ...]]] = [{}, {}]
        for color in sorted({color for color in colors if color is not None}):
            group = Drawing(self.random, len(members(colors, keys, color)), self._depth - 1)
            for part in parts:
                part[color] = group.steps(3)
        meanwhile = Drawing(self.random, self.size, self._depth - 1).steps(2)
        return Split(colors, keys, parts[0], meanwhile, parts[1], close=self.rarely(2))


def _envelope(message: Message) -> tuple[int, int, int]:
    return message.source, message.dest, message.tag


def program_of(seed: int, size: int, most_steps: int = 12) -> Program:
    """The same program for the same arguments, in every process."""
    drawing = Drawing(Random(f"{seed}, {size}, {most_steps}"), size)
    return Program(size, tuple(drawing.step() for _ in range(drawing.random.randint(1, most_steps))))

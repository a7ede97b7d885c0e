"""Running a program on one rank, and holding what all ranks got against the model."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from minipar.parallel import Communicator
from tests.parallel.contract.arrays import Placed, room_length, same_bits, values
from tests.parallel.contract.model import Expected, Path, expected, is_right
from tests.parallel.contract.steps import (
    GIVES_ALL,
    TAKES_ALL,
    Barrier,
    Collective,
    Delay,
    Exchange,
    Message,
    ObjectCollective,
    Program,
    Split,
    input_shape,
    members,
    object_of,
    out_shape,
)

REDUCES = ("all_reduce", "reduce", "reduce_scatter")
ROOTED = ("broadcast", "reduce", "gather", "scatter")


@dataclass(frozen=True)
class Outcome:
    """What one call did: its result, whose memory that lies in, the array that was passed as it is now."""

    result: Any
    lies_in: str
    array: np.ndarray | None = None
    surroundings_untouched: bool = True
    done: bool = True  # what `Work.done()` says after `wait()`
    barrier: tuple[float, float] | None = None  # when the rank came to it, and when it left


class Run:
    """One rank on its way through a program: which calls are in flight, and the outcomes of those that are not."""

    def __init__(self, comm: Communicator, outcomes: dict[Path, Outcome], path: Path = ()) -> None:
        self.comm = comm
        self._outcomes = outcomes
        self._path = path
        self._step = 0
        self._flying: list[tuple[int, Path, Any, Callable[[Any], Outcome]]] = []

    def steps(self, steps: tuple[Any, ...]) -> None:
        for number, step in enumerate(steps):
            self._wait_for_those_due()
            path = (*self._path, number)
            if getattr(step, "late", None) == self.comm.rank:
                time.sleep(2e-3)
            if isinstance(step, Barrier):
                self._barrier(path, step)
            elif isinstance(step, Collective):
                self._collective(path, step)
            elif isinstance(step, ObjectCollective):
                self._objects(path, step)
            elif isinstance(step, Exchange):
                self._exchange(path, step)
            else:
                self._split(path, step)
            self._step += 1

    def wait_for_all(self) -> None:
        """The last begun is the first waited for."""
        while self._flying:
            self._wait(self._flying.pop())

    def _wait_for_those_due(self) -> None:
        due = [call for call in self._flying if call[0] <= self._step]
        self._flying = [call for call in self._flying if call[0] > self._step]
        for call in due if self.comm.rank % 2 else reversed(due):
            self._wait(call)
        for _, _, work, _ in self._flying:
            work.done()  # asking is harmless

    def _wait(self, call: tuple[int, Path, Any, Callable[[Any], Outcome]]) -> None:
        _, path, work, finish = call
        outcome = finish(work.wait())
        self._outcomes[path] = Outcome(**{**outcome.__dict__, "done": work.done()})

    def _call(
        self,
        path: Path,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        options: dict[str, Any],
        delay: Delay,
        finish: Callable[[Any], Outcome],
        asynchronous: dict[str, Any] = {"async_op": True},  # noqa: B006 (never changed)
    ) -> None:
        if delay is None:
            self._outcomes[path] = finish(function(*arguments, **options))
        else:
            work = function(*arguments, **options, **asynchronous)
            self._flying.append((self._step + delay, path, work, finish))

    # -- one kind of step after the other ----------------------------------------------------------------------------

    def _barrier(self, path: Path, step: Barrier) -> None:
        came = time.monotonic()

        def finish(result: None) -> Outcome:
            return Outcome(result, _kind(result), barrier=(came, time.monotonic()))

        self._call(path, self.comm.barrier, (), {}, step.delays[self.comm.rank], finish)

    def _collective(self, path: Path, step: Collective) -> None:
        comm, rank = self.comm, self.comm.rank
        taken, given = input_shape(step, rank, comm.size), out_shape(step, rank, comm.size)
        room = self._registered(step, step.verb in (*TAKES_ALL, "scatter")) if step.registered else None
        room_of_out = self._registered(step, step.verb in (*GIVES_ALL, "gather")) if step.registered_outs else None
        placed = out = None
        if taken is not None:
            own = room if room is not None and step.registered[rank] else None
            placed = Placed(taken, step.dtype, step.layouts[rank], own)
            placed.array[...] = values(step.seed, rank, taken, step.dtype)
        options: dict[str, Any] = {}
        if given is not None and step.outs[rank] is not None:
            out = Placed(given, step.dtype, step.outs[rank], room_of_out)
            options["out"] = out.array
        if step.verb in ROOTED:
            options["root"] = step.root
        if step.verb in REDUCES:
            options["op"] = step.op
        if step.algorithm is not None:
            options["algorithm"] = comm.own_algorithms[0] if step.algorithm == "own" else step.algorithm
        passed = None if placed is None else placed.array

        def finish(result: Any) -> Outcome:
            untouched = all(place.surroundings_untouched() for place in (placed, out) if place is not None)
            return Outcome(_copy(result), _kind(result, passed, options.get("out")), _copy(passed), untouched)

        self._call(path, getattr(comm, step.verb), (passed,), options, step.delays[rank], finish)

    def _registered(self, step: Collective, for_all: bool) -> np.ndarray:
        """A room that is as long on every rank, as `comm.empty` wants it."""
        shape = (self.comm.size, *step.shape) if for_all else step.shape
        return self.comm.empty((room_length(shape),), step.dtype)

    def _objects(self, path: Path, step: ObjectCollective) -> None:
        comm, rank = self.comm, self.comm.rank
        options = {} if step.verb == "all_gather_object" else {"root": step.root}
        thing = object_of(step.seed, rank)
        if step.verb == "scatter_object":
            thing = [object_of(step.seed, other) for other in range(comm.size)] if rank == step.root else None
        if step.verb == "broadcast_object" and rank != step.root:
            thing = None
        self._outcomes[path] = Outcome(getattr(comm, step.verb)(thing, **options), "new")

    def _exchange(self, path: Path, step: Exchange) -> None:
        rank = self.comm.rank
        if step.receive_first:
            self._receive_all(path, step)
        for number, message in enumerate(step.messages):
            if message.source == rank:
                self._send((*path, "sent", number), message)
        if not step.receive_first:
            self._receive_all(path, step)

    def _receive_all(self, path: Path, step: Exchange) -> None:
        for number in step.receive_order:
            if step.messages[number].dest == self.comm.rank:
                self._receive((*path, "received", number), step.messages[number], step.receive_first)

    def _send(self, path: Path, message: Message) -> None:
        comm = self.comm
        if message.dtype is None:
            thing = object_of(message.seed, message.source)
            self._outcomes[path] = Outcome(comm.send_object(thing, message.dest, message.tag), "nothing")
            return
        placed = Placed(message.shape, message.dtype, message.layout)
        placed.array[...] = values(message.seed, message.source, message.shape, message.dtype)

        def finish(result: Any) -> Outcome:
            placed.array[...] = 0  # the message has left: nobody may see this
            return Outcome(result, _kind(result), None, placed.surroundings_untouched())

        send = comm.send if message.send_delay is None else comm.isend
        arguments = (placed.array, message.dest, message.tag)
        self._call(path, send, arguments, {}, message.send_delay, finish, asynchronous={})

    def _receive(self, path: Path, message: Message, asynchronous: bool) -> None:
        comm = self.comm
        if message.dtype is None:
            self._outcomes[path] = Outcome(comm.recv_object(message.source, message.tag), "new")
            return
        out = None if message.out is None else Placed(message.shape, message.dtype, message.out)
        options = {} if out is None else {"out": out.array}

        def finish(result: np.ndarray) -> Outcome:
            untouched = out is None or out.surroundings_untouched()
            assert result.flags.writeable
            return Outcome(_copy(result), _kind(result, None, options.get("out")), None, untouched)

        delay = message.receive_delay if message.receive_delay is not None or not asynchronous else 0
        receive = comm.recv if delay is None else comm.irecv
        self._call(path, receive, (message.source, message.tag), options, delay, finish, asynchronous={})

    def _split(self, path: Path, step: Split) -> None:
        rank = self.comm.rank
        color = step.colors[rank]
        sub = self.comm.split(color, step.keys[rank])
        inner = None
        if sub is None:
            self._outcomes[(*path, "split")] = Outcome(None, "nothing")
        else:
            assert color is not None, "a rank without a colour is in a group"
            assert sub.rank == members(step.colors, step.keys, color).index(rank)
            self._outcomes[(*path, "split")] = Outcome((sub.rank, sub.size), "new")
            inner = Run(sub, self._outcomes, (*path, "before", color))
            inner.steps(step.before[color])
        Run.whole(self.comm, self._outcomes, step.meanwhile, (*path, "meanwhile"))
        if inner is not None:
            inner.continued(step.after[color], (*path, "after", color))
            if step.close:
                sub.close()

    def continued(self, steps: tuple[Any, ...], path: Path) -> None:
        self._path = path
        self.steps(steps)
        self.wait_for_all()

    @classmethod
    def whole(cls, comm: Communicator, outcomes: dict[Path, Outcome], steps: tuple[Any, ...], path: Path = ()) -> None:
        cls(comm, outcomes).continued(steps, path)


def run_program(comm: Communicator, program: Program) -> dict[Path, Outcome]:
    """What every call of this rank gave."""
    outcomes: dict[Path, Outcome] = {}
    with np.errstate(all="ignore"):  # infinities are meant
        Run.whole(comm, outcomes, program.steps)
    return outcomes


def warm_up(comm: Communicator) -> None:
    """As many calls as it takes for a backend to load compiled code for the next."""
    for _ in range(110):
        comm.barrier()


def _copy(array: Any) -> Any:
    return array.copy() if isinstance(array, np.ndarray) else array


def _kind(result: Any, array: Any = None, out: Any = None) -> str:
    if result is None:
        return "nothing"
    return "array" if result is array else "out" if result is out else "new"


# -- holding it against the model --------------------------------------------------------------------------------------


def check(program: Program, outcomes: list[dict[Path, Outcome]]) -> None:
    """AssertionError if any call of any rank gave anything else than the model says, naming the call."""
    wanted = expected(program.steps, program.size)
    for rank, (got, want) in enumerate(zip(outcomes, wanted, strict=True)):
        assert got.keys() == want.keys(), f"rank {rank} made other calls: {got.keys() ^ want.keys()}"
        for path, outcome in got.items():
            trouble = _trouble(outcome, want[path])
            if trouble:
                raise AssertionError(f"rank {rank} of {program.size}, call {path}, {program.steps[path[0]]}: {trouble}")
    for path in set().union(*wanted):
        together = [got[path] for got in outcomes if path in got]
        if together[0].barrier:
            came, left = zip(*(outcome.barrier for outcome in together))
            assert max(came) <= min(left), f"barrier {path}: a rank left it before the last came"
        elif next(want[path].same_bits for want in wanted if path in want):
            first, *others = [outcome.result for outcome in together]
            alike = all(same_bits(first, other) for other in others)
            assert alike, f"call {path}, {program.steps[path[0]]}: ranks got different bits: {[first, *others]}"


def _trouble(got: Outcome, want: Expected) -> str:
    if not is_right(got.result, want.result, want.tolerance):
        return f"gave\n{got.result!r}\nnot\n{want.result!r}"
    if got.lies_in != want.lies_in:
        return f"returned {got.lies_in}, not {want.lies_in}"
    if want.array is not None and want.lies_in != "array" and not is_right(got.array, want.array):
        return f"left the array as\n{got.array!r}\nnot\n{want.array!r}"
    if want.lies_in == "array" and not same_bits(got.array, got.result):
        return f"returned\n{got.result!r}\nbut the array is\n{got.array!r}"
    if not got.surroundings_untouched:
        return "wrote outside of an array"
    return "" if got.done else "is not done after wait()"

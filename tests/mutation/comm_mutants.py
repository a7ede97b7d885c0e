"""Wrong collectives, each one mistake away from the right ones, and the program that runs with one of them in place.

Processes import this module, so it does without pytest. `BOTH` are for ranks of either kind.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import numpy as np

from minipar.parallel import Communicator
from minipar.parallel.comm import layout, objects, reduction
from minipar.parallel.comm.algorithms import ALGORITHMS
from minipar.parallel.comm.inbox import Inbox
from minipar.parallel.comm.meeting import MeetingCommunicator
from minipar.parallel.comm.process import ProcessCommunicator
from minipar.parallel.comm.registered import Registered
from minipar.parallel.comm.shortcut import Shortcut
from minipar.parallel.comm.slots import Slots
from minipar.parallel.comm.work import Work
from tests.parallel.contract.arrays import LARGE, MIDDLING
from tests.parallel.contract.drawing import program_of
from tests.parallel.contract.programs import Outcome, Path, run_program, warm_up
from tests.parallel.contract.steps import Collective, Program

Mutant = Callable[[ExitStack], None]  # puts the mistake in place, until the stack is closed


def instead(owner: Any, name: str, make: Callable[[Any], Any]) -> Mutant:
    """`make(right)` takes the place of the attribute `name` of a class, or of a function wherever it was imported."""

    def put(stack: ExitStack) -> None:
        right = getattr(owner, name)
        wrong = make(right)
        owners = [owner]
        if not isinstance(owner, type):
            modules = [module for key, module in sys.modules.items() if key.startswith("minipar.parallel")]
            owners = [module for module in modules if vars(module).get(name) is right]
        for one in owners:
            stack.enter_context(mock.patch.object(one, name, wrong))

    return put


def algorithm(name: str, make: Callable[[Any], Any]) -> Mutant:
    return lambda stack: stack.enter_context(mock.patch.dict(ALGORITHMS, {name: make(ALGORITHMS[name])}))


# -- reductions --------------------------------------------------------------------------------------------------------


def wider(right: Any) -> Any:
    """Sums in extended precision, rounded once: nearer to the truth, and not what was promised."""

    def reduce(sources: Any, op: str, out: np.ndarray) -> None:
        if out.dtype.kind != "f" or out.dtype.char == "g":
            right(sources, op, out)
            return
        total = np.empty(out.shape, np.longdouble)
        right([source.astype(np.longdouble) for source in sources], op, total)
        out[...] = total

    return reduce


def shorter(right: Any) -> Any:
    def piece(length: int, rank: int, size: int) -> slice:
        whole = right(length, rank, size)
        return slice(whole.start, max(whole.start, whole.stop - 1))

    return piece


def earlier(right: Any) -> Any:
    def piece(length: int, rank: int, size: int) -> slice:
        whole = right(length, rank, size)
        return slice(max(0, whole.start - 1), max(0, whole.stop - 1))

    return piece


def kept_to_itself(right: Any) -> Any:
    def reduce_own_piece(arrays: Any, op: str, rank: int) -> None:
        right([arrays[0], *(array.copy() for array in arrays[1:])], op, rank)

    return reduce_own_piece


# -- collectives -------------------------------------------------------------------------------------------------------


def of_another_root(right: Any) -> Any:
    return lambda self, flat, root: right(self, flat, (root + 1) % self.size)


def changed_elsewhere(right: Any) -> Any:
    def reduce(self: Any, array: np.ndarray, root: int = 0, *arguments: Any, **options: Any) -> Any:
        result = right(self, array, root, *arguments, **options)
        if self.rank != root and array.flags.writeable:
            array[...] = 0
        return result

    return reduce


def in_reverse(right: Any) -> Any:
    return lambda self, flat, rows, root: right(self, flat, None if rows is None else rows[::-1], root)


def another_piece(right: Any) -> Any:
    def exchange(self: Any, rows: np.ndarray | None, *arguments: Any) -> Any:
        return right(self, None if rows is None else np.roll(rows, 1, axis=0), *arguments)

    return exchange


def without_key(right: Any) -> Any:
    return lambda self, color, key: right(self, color, 0)


def no_wait(right: Any) -> Any:
    return lambda self: iter(())


# -- messages, objects, asynchronous calls -----------------------------------------------------------------------------


def first_of_any_tag(right: Any) -> Any:
    return lambda self, source, tag, *rest: right(self, source, 0, *rest)


def any_tag(stack: ExitStack) -> None:
    instead(Inbox, "put", first_of_any_tag)(stack)
    instead(Inbox, "ask", first_of_any_tag)(stack)


def last_first(right: Any) -> Any:
    """Of two messages that wait with one tag, the later one."""

    def take(self: Any, ticket: Any) -> Any:
        source, tag, number = ticket
        later = (source, tag, number + 1)
        if later in self._arrays:
            self._arrays[ticket], self._arrays[later] = self._arrays[later], self._arrays[ticket]
        return right(self, ticket)

    return take


def not_waited_for(right: Any) -> Any:
    return lambda self: self._result


def never_done(right: Any) -> Any:
    return lambda self: False


# -- what only processes do --------------------------------------------------------------------------------------------


def wrong_half(right: Any) -> Any:
    return lambda self, chunk, dtype: right(self, chunk + (self._rank == 1), dtype)


def first_chunk_only(right: Any) -> Any:
    def through_slots(self: Any, shown: Any, like: np.ndarray, pick: Any) -> Any:
        return right(self, shown, like, lambda start, views: None if start else pick(start, views))

    return through_slots


def last_chunk_dropped(right: Any) -> Any:
    def reduce_shares(self: Any, flat: np.ndarray, op: str) -> Any:
        whole = self._slots.columns(flat[None])
        before = flat[whole:].copy()
        yield from right(self, flat, op)
        flat[whole:] = before

    return reduce_shares


def one_element_on(right: Any) -> Any:
    def view(self: Any, rank: int, place: int, like: np.ndarray) -> np.ndarray:
        return right(self, rank, place + like.itemsize, like)

    return view


def never_divides(right: Any) -> Any:
    def kind_of(self: Any, op: str, array: np.ndarray) -> Any:
        kind = right(self, op, array)
        return None if kind is None else kind._replace(is_mean=False)

    return kind_of


# -- the algorithms by name --------------------------------------------------------------------------------------------


def last_element_kept(right: Any) -> Any:
    def all_reduce(peers: Any, flat: np.ndarray, op: str) -> Any:
        yield from right(peers, flat[:-1] if flat.size > 1 else flat, op)

    return all_reduce


def own_rounding(right: Any) -> Any:
    """Rank 1 gets sums that are off by one rounding: within any tolerance, but not the same bits."""

    def all_reduce(peers: Any, flat: np.ndarray, op: str) -> Any:
        yield from right(peers, flat, op)
        if peers.rank == 1 and flat.dtype.kind == "f":
            flat[...] = np.nextafter(flat, np.asarray(0, flat.dtype))

    return all_reduce


def sum_for_mean(right: Any) -> Any:
    return lambda peers, flat, op: right(peers, flat, "sum" if op == "mean" else op)


BOTH: dict[str, Mutant] = {
    "sum from the last rank to the first": instead(
        reduction,
        "reduce_in_order",
        lambda right: lambda sources, op, out: right([s.copy() for s in sources[::-1]], op, out),
    ),
    "a rank left out": instead(
        reduction, "reduce_in_order", lambda right: lambda sources, op, out: right(sources[:-1] or sources, op, out)
    ),
    "sum in a wider dtype": instead(reduction, "reduce_in_order", wider),
    "mean not divided": instead(reduction, "divide_mean", lambda right: lambda total, op, size: None),
    "mean divided by one less": instead(
        reduction, "divide_mean", lambda right: lambda total, op, size: right(total, op, max(1, size - 1))
    ),
    "piece too short": instead(reduction, "piece_of", shorter),
    "piece too early": instead(reduction, "piece_of", earlier),
    "strided result not written back": instead(layout, "write_back", lambda right: lambda dense, array: None),
    "elements in Fortran order": instead(
        layout, "flat_of", lambda right: lambda array: np.ravel(array, order="F") if array.ndim > 1 else right(array)
    ),
    "broadcast from another root": instead(MeetingCommunicator, "_broadcast", of_another_root),
    "reduce changes the other ranks' arrays": instead(Communicator, "reduce", changed_elsewhere),
    "gather in reverse": instead(MeetingCommunicator, "_gather", in_reverse),
    "scatter of another row": instead(MeetingCommunicator, "_scatter", another_piece),
    "reduce_scatter of another row": instead(MeetingCommunicator, "_reduce_scatter", another_piece),
    "all_to_all of another row": instead(MeetingCommunicator, "_all_to_all", another_piece),
    "split without the key": instead(Communicator, "_split_steps", without_key),
    "barrier that waits for nobody": instead(MeetingCommunicator, "_barrier", no_wait),
    "recv of any tag": any_tag,
    "the last message first": instead(Inbox, "take", last_first),
    "wait() that does not wait": instead(Work, "wait", not_waited_for),
    "done() never true": instead(Work, "done", never_done),
    "broadcast_object of another root": instead(objects.Objects, "_tell", of_another_root),
    "all_gather_object in reverse": instead(
        objects.Objects, "all_gather_object", lambda right: lambda self, obj: right(self, obj)[::-1]
    ),
    "ring without the last element": algorithm("ring", last_element_kept),
    "tree rounded otherwise on one rank": algorithm("tree", own_rounding),
    "master that does not divide": algorithm("master", sum_for_mean),
    "halving-doubling without the last element": algorithm("halving-doubling", last_element_kept),
}
FOR_THREADS = {
    "a rank reduces for itself alone": instead(reduction, "reduce_own_piece", kept_to_itself),
}
FOR_PROCESSES = {
    "registered memory: a rank reduces for itself alone": instead(reduction, "reduce_own_piece", kept_to_itself),
    "registered memory: one element on": instead(Registered, "view", one_element_on),
    "chunks through the wrong half": instead(Slots, "half", wrong_half),
    "no chunk but the first": instead(ProcessCommunicator, "_through_slots", first_chunk_only),
    "all_reduce without the last chunks": instead(ProcessCommunicator, "_reduce_shares", last_chunk_dropped),
    "compiled mean not divided": instead(Shortcut, "_kind_of", never_divides),
}
MUTANTS = BOTH | FOR_THREADS | FOR_PROCESSES


def of_floats(step: Collective) -> bool:
    return step.verb == "all_reduce" and step.op == "mean" and step.dtype in "fd" and 0 not in step.shape


def of_chunks(step: Collective) -> bool:
    return step.verb == "all_reduce" and step.algorithm is None and step.shape == LARGE


def of_registered(step: Collective) -> bool:
    alike = set(step.layouts) == {"plain"} and set(step.registered) == {True} and not any(step.outs)
    return step.verb == "all_reduce" and step.algorithm is None and alike and step.shape in (*MIDDLING, LARGE)


NEEDS: dict[str, Callable[[Collective], bool]] = {  # what a program must have for a mutant to be in the way at all
    "all_reduce without the last chunks": of_chunks,
    "registered memory: a rank reduces for itself alone": of_registered,
    "registered memory: one element on": of_registered,
    "no chunk but the first": lambda step: step.shape == LARGE,
    "master that does not divide": lambda step: of_floats(step) and step.algorithm == "master",
    "compiled mean not divided": lambda step: of_floats(step) and step.algorithm is None and "plain" in step.layouts,
}


def concerns(name: str | None, program: Program) -> bool:
    """Whether a program could notice this mutant."""
    needs = NEEDS.get(name or "")
    return needs is None or any(isinstance(step, Collective) and needs(step) for step in program.steps)


@contextmanager
def in_place(name: str | None) -> Iterator[None]:
    with ExitStack() as stack:
        if name is not None:
            MUTANTS[name](stack)
        yield


def run_with(comm: Communicator, name: str | None, seed: int) -> dict[Path, Outcome]:
    """On a rank that is a process: the outcomes of one program, with a mutant in place."""
    with in_place(name):
        warm_up(comm)
        return run_program(comm, program_of(seed, comm.size))

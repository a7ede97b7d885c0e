"""ZeRO: ranks that hold the same model need not hold all of its optimizer's state, gradients and parameters.

Data parallelism keeps everything N times over. Here all parameters stand in one row, of which each rank owns an equal
stretch, a piece of some of them:

    parameters   [ fc2.bias | fc2.weight | fc1.bias | fc1.weight ]
    owners       '------- rank 0 -------''------- rank 1 --------'

    stage 1   an optimizer steps its rank's pieces alone; then every rank tells the others its new numbers
    stage 2   … and a gradient is added up on the rank that owns it, and kept there alone
    stage 3   … and so are parameters: a layer's are put together before it runs, forward and backward, and let go

For Adam in float32 (16 bytes a parameter) that leaves 8 + 8/N, 4 + 12/N and 16/N bytes. Stage 2 sends as much as data
parallelism does, and stage 3 half as much again (Rajbhandari et al., arXiv 1910.02054); so does stage 1 here, for it
adds gradients up on all ranks, which share memory for that.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..backend import device_of, namespace
from ..nn.container import Sequential
from ..nn.module import Module
from ..nn.parameter import Parameter
from ..tape import mode
from ..tensor import Tensor, wrap
from .comm import Communicator, Work
from .gradients import GradientExchange
from .ownership import Owned, ownership, piece_of
from .pipeline.layers import layers
from .travel import beside, to_send


class ShardedParameters:
    """The trained ones of `parameters`, sharded over the ranks of `comm` by ZeRO's `stage`, 1, 2 or 3. Collective.

    With stage 3, `units` are the layers whose parameters are put together when one runs.
    """

    def __init__(
        self, parameters: Iterable[Parameter], comm: Communicator, stage: int, units: Sequence[Module], bucket: int
    ) -> None:
        self._comm, self._stage = comm, stage
        self._tracked = [(p, p.tracked) for p in parameters]
        trained = [p for p, tracked in self._tracked if tracked][::-1]
        for p in trained:  # pieces look at stretches of a parameter in C order
            if not p.array.flags.c_contiguous:
                p.array = namespace(p.array).ascontiguousarray(p.array)
            if stage > 1 and p.buffer is not None:  # which has room for all gradients
                p.array, p.buffer = p.array.copy(), None
        self.owned = ownership(trained, comm)
        self._stretches: dict[int, list[Owned]] = {}
        for stretch in self.owned:
            self._stretches.setdefault(id(stretch.parameter), []).append(stretch)
        if stage == 1:  # before there are pieces: this moves parameters to other memory
            self.exchange = GradientExchange(trained[::-1], comm, bucket)
            share_parameters(trained, comm)
        else:
            self.exchange = OwnersExchange(trained[::-1], comm, bucket, self._stretches)
        for stretch in self.owned:
            if stretch.owner == comm.rank:
                stretch.piece = piece_of(stretch, shares_memory=stage < 3)
        self.pieces = [(o.parameter, o.piece) for o in self.owned if o.piece is not None]
        self._told = told_by_owners(self.owned, comm) if stage < 3 else []
        self._gone: set[int] = set()  # ids of the parameters that are not here
        self._of_units: list[Parameter] = []  # those that come and go
        if stage == 3:
            self._shard_units(units)

    def begin(self) -> None:
        """Before a batch: every rank gets the parameters as their owners have stepped them. Collective.

        What a batch that failed has left behind is forgotten. RuntimeError if other parameters are trained than when
        they were sharded.
        """
        if any(p.tracked != tracked for p, tracked in self._tracked):
            raise RuntimeError(
                f"zero={self._stage}: requires_grad of a parameter has changed since parallelize dealt them out to "
                "ranks; freeze parameters before, or make a new optimizer and parallelize again"
            )
        for stretch in self.owned:
            stretch.parameter.grad = None
        self.tell_parameters()
        if self._stage == 1:
            for _, piece in self.pieces:
                if piece.grad is not None:  # it looks at memory that this backward writes into
                    piece.grad = wrap(piece.grad.array.copy())

    def take_gradients(self) -> None:
        """Add the gradients that have been added up to the pieces', and let go of the parameters'."""
        if self._stage == 1:
            for stretch in self.owned:
                p, piece = stretch.parameter, stretch.piece
                if piece is not None and p.grad is not None:
                    part = p.grad.array.reshape(-1)[stretch.start : stretch.stop]
                    _add(piece, part.reshape(piece.array.shape))
        for stretch in self.owned:
            stretch.parameter.grad = None

    def tell_parameters(self) -> None:
        """Every rank gets the numbers of every piece, as their owners have them now. Collective."""
        for p in self._of_units:
            self._let_go(p)
        here = [stretch for stretch in self.owned if id(stretch.parameter) not in self._gone]
        if self._stage == 3:
            for stretch in here:
                self._put_in(stretch, stretch.parameter.array.reshape(-1))
        for owner, array in self._told:
            self._broadcast(array, owner)
        for stretch in here:
            stretch.parameter.bump("optimizer")

    def _broadcast(self, array: Any, owner: int) -> None:
        sent = to_send(array, self._comm)
        self._comm.broadcast(sent, root=owner)
        if sent is not array:
            array[...] = beside(sent, array)

    # -- stage 3 ---------------------------------------------------------------------------------------------------

    def _shard_units(self, units: Sequence[Module]) -> None:
        """Let go of every parameter; put those of a unit together whenever it runs.

        A parameter of several units stays whole.
        """
        users: dict[int, int] = {}
        for unit in units:
            for p in unit.parameters():
                users[id(p)] = users.get(id(p), 0) + 1
        for unit in units:
            mine = [p for p in unit.parameters() if id(p) in self._stretches and users[id(p)] == 1]
            self._of_units += mine
            for p in mine:
                p.register_post_accumulate_grad_hook(self._let_go)
                self._let_go(p)
            unit.register_forward_pre_hook(partial(self._before_forward, mine))
            unit.register_forward_hook(partial(self._after_forward, mine))

    def _before_forward(self, parameters: list[Parameter], *_: Any) -> None:
        self._put_together(parameters)

    def _after_forward(self, parameters: list[Parameter], _: Module, __: Any, output: Any) -> None:
        for p in parameters:
            self._let_go(p)
        for y in output if isinstance(output, tuple) else (output,):
            if isinstance(y, Tensor) and y.tracked and mode.grad:
                y.register_hook(partial(self._before_forward, parameters))

    def _put_in(self, stretch: Owned, flat: Any) -> None:
        """Write a stretch to its place in the whole parameter, from the piece of its owner."""
        array = flat[stretch.start : stretch.stop]
        if stretch.piece is not None:
            array[...] = stretch.piece.array
        self._broadcast(array, stretch.owner)

    def _put_together(self, parameters: list[Parameter]) -> None:
        for p in parameters:
            if id(p) in self._gone:
                self._gone.discard(id(p))
                whole = namespace(p.array).empty(p.array.size, p.dtype)
                for stretch in self._stretches[id(p)]:
                    self._put_in(stretch, whole)
                p.array = whole.reshape(p.array.shape)

    def _let_go(self, p: Any) -> None:
        """Its shape and dtype stay, and its gradient, if there is one, is on its way."""
        if id(p) not in self._gone:
            self._gone.add(id(p))
            xp = namespace(p.array)
            p.array = xp.broadcast_to(xp.zeros((), p.dtype), p.array.shape)


def told_by_owners(stretches: Sequence[Owned], comm: Communicator) -> list[tuple[int, Any]]:
    """(owner, array) of what owners tell: whole rows of stretches, if these lie side by side on every rank alike."""
    rows = list(joined(stretches))
    sizes = [(owner, array.size) for owner, array in rows]
    if all(theirs == sizes for theirs in comm.all_gather_object(sizes)):
        return rows
    return [(o.owner, o.parameter.array.reshape(-1)[o.start : o.stop]) for o in stretches]


def joined(stretches: Iterable[Owned]) -> Iterator[tuple[int, Any]]:
    """(owner, array) of what lies side by side in one buffer and has one owner."""
    at: tuple[Any, int, int, int] | None = None  # buffer, start, stop, owner
    for stretch in stretches:
        p = stretch.parameter
        if p.buffer is None or not p.in_buffer():
            yield stretch.owner, p.array.reshape(-1)[stretch.start : stretch.stop]
            continue
        first = p.buffer.spans[p.slot][0]
        start, stop = first + stretch.start, first + stretch.stop
        if at is not None and (at[0] is not p.buffer or at[2:] != (start, stretch.owner)):
            yield at[3], at[0].data[at[1] : at[2]]
            at = None
        at = p.buffer, start if at is None else at[1], stop, stretch.owner
    if at is not None:
        yield at[3], at[0].data[at[1] : at[2]]


def share_parameters(parameters: list[Parameter], comm: Communicator) -> None:
    """Keep parameters where all ranks see them: then they are told by one copy.

    Not where buffers differ from rank to rank, or somebody looks at them: there they stay where they are.
    """
    if comm.size == 1:
        return
    buffers = list({id(p.buffer): p.buffer for p in parameters if p.buffer is not None}.values())
    movable = all(isinstance(b.data, np.ndarray) and not b.is_shown() for b in buffers)
    kinds = [(b.data.dtype.str, b.data.size) for b in buffers]
    if any(theirs != (kinds, True) for theirs in comm.all_gather_object((kinds, movable))):
        return
    for buffer in buffers:
        buffer.keep_parameters_in(comm.empty(buffer.data.size, buffer.data.dtype), parameters)


class OwnersExchange(GradientExchange):
    """Gradients are added up on the rank that owns them, and kept there alone: the others' are gone once sent.

    A sum is made where its piece's gradient is going to be, and becomes that gradient when the batch is there.
    """

    def __init__(
        self, parameters: list[Parameter], comm: Communicator, bucket: int, stretches: dict[int, list[Owned]]
    ) -> None:
        super().__init__(parameters, comm, bucket, in_shared_memory=False)
        self._stretches = stretches
        self._sums: list[tuple[Owned, Any]] = []

    def _plan(self) -> None:
        super()._plan()
        self._sums = []

    def _send(self, bucket: list[Parameter]) -> None:
        """Begin to add up a bucket, once the one before the last is done: two are under way at most."""
        for place in range(len(self._under_way) - 1):
            self._under_way[place]()
        works = []
        for p in bucket:
            gradient = to_send(p.grad.array, self.comm).reshape(-1)
            p.grad = None
            for stretch in self._stretches[id(p)]:
                part = gradient[stretch.start : stretch.stop]
                if stretch.piece is not None:
                    total = room_for_gradient(stretch.piece, gradient)
                    total[...] = part.reshape(total.shape)
                    self._sums.append((stretch, total))
                    part = total.reshape(-1)
                works.append(self.comm.reduce(part, root=stretch.owner, async_op=True))
        self._under_way.append(partial(_complete, works))

    def _settle(self, unused: set[int]) -> None:
        sums, self._sums = self._sums, []
        for stretch, total in sums:
            if id(stretch.parameter) not in unused:
                total *= total.dtype.type(1.0 / self.divisor)
                _add(stretch.piece, beside(total, stretch.parameter.array))


def _complete(works: list[Work]) -> None:
    while works:  # what a call has sent goes with it
        works.pop(0).wait()


def units_of(module: Module) -> list[Module]:
    """The layers whose parameters are put together at once: those of a Sequential, or else the module itself."""
    if isinstance(module, Sequential) or hasattr(module, "pipeline_layers"):
        return [layer for _, layer in layers(module)]
    return [module]


def room_for_gradient(piece: Parameter, like: Any) -> Any:
    """Where the gradient of a piece can be made: its place in the piece's buffer, while that is free, or new memory.

    It is on the device of the array `like`.
    """
    piece.lent = False  # it may be since a batch that failed, or did not use it
    slot = piece._grad_slot()
    if slot is not None and device_of(slot) == device_of(like):
        return slot
    return namespace(like).empty(piece.shape, piece.array.dtype)


def _add(piece: Any, gradient: Any) -> None:
    """Add to the gradient of a piece: a first one goes to its place in the piece's buffer, or is taken as it is."""
    if piece.grad is None and piece.buffer is None:
        piece.grad = wrap(gradient)
    else:
        piece.accumulate(gradient)

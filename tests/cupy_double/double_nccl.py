"""What stands for `cupy.cuda.nccl`: ranks are threads, and what they give NCCL is recorded, checked and carried out.

As on GPUs, a call returns at once, and is complete only when all ranks have given theirs: what one communicator is
given goes one after the other, and so does what one stream is given; an event happens when what its stream was given
before is done. Until then nothing is moved. But the first call of its kind (collectives of one name, messages of one
pair) returns only when all whom it concerns have given theirs: as NCCL's do, while they connect. Calls that do not fit
together are never complete, as they may never be on GPUs, and are noted in `mismatches`. Names and parameters are those
of surface.json.

It cannot show: real asynchrony (what CuPy computes is done at once, here), NCCL's order of additions, and its speed.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tests.cupy_double import double_cuda
from tests.cupy_double.double_array import SURFACE, signature
from tests.cupy_double.installed import double_installed

BYTES = {0: "b", 1: "B", 2: "i", 3: "I", 4: "q", 5: "Q", 6: "e", 7: "f", 8: "d"}  # NumPy's code of NCCL's type
UFUNCS = {0: np.add, 1: np.multiply, 2: np.maximum, 3: np.minimum}
WORDS = {2: "system error", 3: "internal error", 4: "invalid argument", 5: "invalid usage"}  # CuPy has none for 6
PATIENCE = 20.0  # seconds in which all ranks must come to the making of a communicator

everything = threading.RLock()  # guards all that is below
worlds: dict[bytes, World] = {}
calls: list[tuple[int, str, tuple[Any, ...]]] = []  # rank, method, arguments: of all communicators
mismatches: list[str] = []
ended: list[str] = []  # "destroy" and "abort", in order
deepest = [0]  # the most calls that a stream has had at once
version = 22707
_identities = itertools.count(1)
_group = threading.local()


class NcclError(RuntimeError):
    def __init__(self, status: int) -> None:
        self.status = status
        super().__init__(f"NCCL_ERROR_{WORDS[status].upper().replace(' ', '_')}: {WORDS[status]}")


class Call:
    """One call, or a group of them: complete when every part of it is."""

    def __init__(self, comm: NcclCommunicator, parts: list[tuple[str, tuple[Any, ...]]], stream: Stream) -> None:
        self.comm, self.parts, self.stream = comm, parts, stream
        self.after = [*stream.waits_for, *stream.calls, *comm._calls]  # what must be complete before it begins
        self.done = False
        stream.calls.append(self)
        comm._calls.append(self)

    def has_begun(self) -> bool:
        self.after = [call for call in self.after if not call.done]
        return not self.after

    def finish(self) -> None:
        self.done = True
        self.stream.calls.remove(self)
        self.comm._calls.remove(self)


class World:
    """The ranks of one communicator."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.ranks: dict[int, NcclCommunicator] = {}
        self.came: dict[Any, set[int]] = {}  # by kind of call: the ranks that have connected for it, or are at it

    def carry_out(self) -> bool:
        """What all ranks have come to; whether there was anything."""
        begun = {r: c._calls[0] for r, c in self.ranks.items() if c._calls and c._calls[0].has_begun()}
        alone = {r: call for r, call in begun.items() if call.parts[0][0] not in ("send", "recv")}
        if len(alone) == self.size:
            if not self._fits(alone):
                return False
            _collective([alone[rank].parts[0] for rank in range(self.size)])
            for call in alone.values():
                call.finish()
            return True
        moved = False
        for source, call in begun.items():
            for part in [part for part in call.parts if part[0] == "send"]:
                moved |= self._deliver(source, call, part, begun)
        for call in begun.values():
            if not call.parts:
                call.finish()
                moved = True
        return moved

    def _fits(self, alone: dict[int, Call]) -> bool:
        told = {rank: (call.parts[0][0], _what(*call.parts[0])) for rank, call in alone.items()}
        if len(set(told.values())) == 1:
            return True
        if str(told) not in mismatches:
            mismatches.append(str(told))
        return False

    def _deliver(self, source: int, call: Call, part: tuple[str, tuple[Any, ...]], begun: dict[int, Call]) -> bool:
        start, count, datatype, dest, _ = part[1]
        if dest not in begun:
            return False
        for wanted in begun[dest].parts:
            if wanted[0] == "recv" and wanted[1][3] == source:
                if (count, datatype) != wanted[1][1:3]:
                    mismatches.append(f"rank {source} sends {count}, rank {dest} receives {wanted[1][1]}")
                    return False
                _memory(wanted[1][0], count, datatype)[...] = _memory(start, count, datatype)
                begun[dest].parts.remove(wanted)
                call.parts.remove(part)
                return True
        return False


def _what(kind: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """What must be the same on all ranks: not pointers, nor the stream."""
    return arguments[1 if kind == "bcast" else 2 : -1]


def _memory(pointer: int, count: int, datatype: int) -> np.ndarray:
    dtype = np.dtype(BYTES[datatype])
    return np.frombuffer((ctypes.c_char * (count * dtype.itemsize)).from_address(pointer), dtype)


def _collective(parts: list[tuple[str, tuple[Any, ...]]]) -> None:
    """Move, or reduce, in order of rank, the memory of all."""
    kind, (_, _, count, datatype, *rest) = parts[0]
    size = len(parts)
    each = count * size if kind == "reduceScatter" else count
    sources = [_memory(arguments[0], each, datatype).copy() for _, arguments in parts]
    ends = [arguments[1] for _, arguments in parts]
    if kind == "broadcast":
        for end in ends:
            _memory(end, count, datatype)[...] = sources[rest[0]]
    elif kind == "allGather":
        for end in ends:
            _memory(end, count * size, datatype)[...] = np.concatenate(sources)
    else:
        total = sources[0]
        with np.errstate(all="ignore"):
            for source in sources[1:]:
                UFUNCS[rest[0]](total, source, out=total)
        for rank, end in enumerate(ends):
            if kind == "reduceScatter":
                _memory(end, count, datatype)[...] = total[rank * count : (rank + 1) * count]
            elif kind == "allReduce" or rank == rest[1]:
                _memory(end, count, datatype)[...] = total


def _carry_on() -> None:
    while any(world.carry_out() for world in list(worlds.values())):
        pass


class NcclCommunicator:
    """Stands for cupy.cuda.nccl.NcclCommunicator."""

    def __init__(self, ndev: int, commId: bytes, rank: int, config: Any = None) -> None:
        if not isinstance(commId, bytes) or len(commId) != 128:
            raise TypeError("commId must be the bytes of get_unique_id()")
        self.rank, self._calls, self._ended = rank, [], False
        self.gpu = double_cuda.current.gpu
        with everything:
            world = self._world = worlds.setdefault(commId, World(ndev))
            if world.size != ndev or not 0 <= rank < ndev or rank in world.ranks:
                raise NcclError(4)
            is_allowed = version >= 23000 and os.environ.get("NCCL_MULTI_RANK_GPU_ENABLE") == "1"
            if not is_allowed and any(other.gpu == self.gpu for other in world.ranks.values()):
                raise NcclError(5)  # Duplicate GPU detected
            world.ranks[rank] = self
        deadline = time.monotonic() + PATIENCE
        while len(world.ranks) < ndev:
            time.sleep(1e-4)
            if time.monotonic() > deadline:
                raise NcclError(2)

    def abort(self) -> None:
        self._end("abort")

    def destroy(self) -> None:
        with everything:
            assert not self._calls, "destroyed with calls under way"
        self._end("destroy")

    def _end(self, how: str) -> None:
        with everything:
            if not self._ended:
                self._ended = True
                ended.append(how)
                for call in self._calls[:]:  # the GPU is freed: the streams go on
                    call.finish()

    def check_async_error(self) -> None:
        assert not self._ended

    def device_id(self) -> int:
        return self.gpu

    def rank_id(self) -> int:
        return self.rank

    def size(self) -> int:
        return self._world.size

    def _give(self, name: str, arguments: tuple[Any, ...]) -> None:
        assert not self._ended, f"{name} of a communicator that has ended"
        assert all(type(x) is int for x in arguments), f"{name}{arguments}"
        assert double_cuda.current.gpu == self.gpu, f"{name} on another GPU than the communicator's"
        part = name, arguments
        with everything:
            calls.append((self.rank, name, arguments))
            stream = Stream.by_handle[arguments[-1]]
            group = getattr(_group, "parts", None)
            if group is not None:
                group.append((self, part, stream))
                return
        self._post([part], stream)

    def _post(self, parts: list[tuple[str, tuple[Any, ...]]], stream: Stream) -> None:
        kinds = [self._kind(*part) for part in parts]
        came, most = self._world.came, len(stream.calls)
        with everything:
            Call(self, parts, stream)
            deepest[0] = max(deepest[0], most + 1)
            for kind, _ in kinds:
                came.setdefault(kind, set()).add(self.rank)
        while any(not wanted <= came[kind] for kind, wanted in kinds):  # they connect
            if self._ended:
                raise NcclError(3)
            time.sleep(1e-4)
        with everything:
            _carry_on()

    def _kind(self, name: str, arguments: tuple[Any, ...]) -> tuple[Any, set[int]]:
        """What is connected at the first such call, and which ranks it takes."""
        if name not in ("send", "recv"):
            return name, set(range(self._world.size))
        pair = (self.rank, arguments[3]) if name == "send" else (arguments[3], self.rank)
        return pair, set(pair)


def _method(name: str) -> Any:
    expected = signature(SURFACE["nccl classes"]["NcclCommunicator"][name])

    def method(self: NcclCommunicator, *arguments: Any, **named: Any) -> None:
        bound = expected.bind(*arguments, **named)
        self._give(name, tuple(bound.arguments.values()))

    return method


for _name in ("allReduce", "allGather", "broadcast", "reduce", "reduceScatter", "send", "recv"):
    setattr(NcclCommunicator, _name, _method(_name))


def groupStart() -> None:
    assert getattr(_group, "parts", None) is None
    _group.parts = []


def groupEnd() -> None:
    parts, _group.parts = _group.parts, None
    by_comm: dict[NcclCommunicator, list[Any]] = {}
    streams = {}
    for comm, part, stream in parts:
        by_comm.setdefault(comm, []).append(part)
        streams[comm] = stream
    for comm, given in by_comm.items():
        comm._post(given, streams[comm])


def get_unique_id() -> bytes:
    return next(_identities).to_bytes(128, "little")


class Event(double_cuda.Event):
    """One that happens when the calls before it are complete."""

    before: list[Call] = []  # noqa: RUF012 (never changed)

    def record(self, stream: Any = None) -> None:
        super().record(stream)
        assert self.recorded is not None
        with everything:
            self.before = [call for call in (*self.recorded.waits_for, *self.recorded.calls) if not call.done]

    @property
    def done(self) -> bool:  # type: ignore[override]
        return all(call.done for call in self.before)

    def synchronize(self) -> None:
        while not self.done:
            time.sleep(1e-4)


class Stream(double_cuda.Stream):
    """One that knows which calls it was given, and waits for."""

    by_handle: dict[int, Stream] = {}  # noqa: RUF012 (of the process)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.calls: list[Call] = []
        self.waits_for: list[Call] = []
        self.by_handle[self.ptr] = self

    def record(self, event: Any = None) -> Any:
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Any) -> None:
        super().wait_event(event)
        with everything:
            self.waits_for = [call for call in (*self.waits_for, *event.before) if not call.done]


@contextmanager
def nccl_installed(gpus: int = 8, version: int = 22707) -> Iterator[SimpleNamespace]:
    """`double_installed` with this many GPUs, and NCCL. Gives `calls`, `mismatches`, `ended`, `deepest`, and `cupy`."""
    for record in (calls, mismatches, ended, worlds):
        record.clear()
    deepest[0] = 0
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(double_cuda, "GPUS", gpus)
        patches.setenv("CUDA_DEVICE_MAX_CONNECTIONS", "1000")  # these streams share no queues
        patches.setitem(globals(), "version", version)
        null = Stream(null=True)
        patches.setattr(double_cuda.Stream, "null", null)
        with double_installed() as cupy:
            nccl = ModuleType("cupy.cuda.nccl")
            functions = {"get_version": lambda: version, "get_unique_id": get_unique_id}
            nccl.__dict__.update(
                SURFACE["nccl constants"], **functions, available=True, NcclError=NcclError, groupEnd=groupEnd,
                NcclCommunicator=NcclCommunicator, groupStart=groupStart,
            )  # fmt: skip
            assert {n for n in vars(nccl) if callable(getattr(nccl, n)) and n[:4] != "Nccl"} <= {*SURFACE["nccl"]}
            cupy.cuda.nccl, cupy.cuda.Event, cupy.cuda.Stream = nccl, Event, Stream
            patches.setitem(sys.modules, "cupy.cuda", cupy.cuda)
            yield SimpleNamespace(
                cupy=cupy, nccl=nccl, calls=calls, mismatches=mismatches, ended=ended, deepest=deepest
            )

"""Wrong arguments of every verb: refused on each rank for itself, before anything is exchanged, by name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import minipar
from minipar.parallel import Communicator


@dataclass(frozen=True)
class Refusal:
    """`call` gets the communicator and options that it passes on; `says` are regular expressions."""

    call: Callable[..., Any]
    error: type[Exception]
    says: tuple[str, ...]


def three(dtype: Any = np.float64) -> np.ndarray:
    return np.zeros(3, dtype)


def rows(comm: Communicator, extra: int = 0) -> np.ndarray:
    return np.zeros((comm.size + extra, 3))


def read_only(shape: tuple[int, ...]) -> np.ndarray:
    return np.broadcast_to(np.zeros(()), shape)


ARRAYS: dict[str, Callable[..., Any]] = {
    "broadcast": lambda comm, array, **o: comm.broadcast(array, (comm.rank + 1) % comm.size, **o),
    "all_reduce": lambda comm, array, **o: comm.all_reduce(array, **o),
    "reduce": lambda comm, array, **o: comm.reduce(array, comm.rank, **o),
    "all_gather": lambda comm, array, **o: comm.all_gather(array, **o),
    "gather": lambda comm, array, **o: comm.gather(array, comm.rank, **o),
    "scatter": lambda comm, array, **o: comm.scatter(array, comm.rank, **o),
    "reduce_scatter": lambda comm, array, **o: comm.reduce_scatter(array, **o),
    "all_to_all": lambda comm, array, **o: comm.all_to_all(array, **o),
    "send": lambda comm, array: comm.send(array, 0),
    "isend": lambda comm, array: comm.isend(array, 0),
}
OUTS: dict[str, Callable[..., Any]] = {
    "all_reduce": lambda comm, out, **o: comm.all_reduce(three(), out=out, **o),
    "reduce": lambda comm, out, **o: comm.reduce(three(), comm.rank, out=out, **o),
    "all_gather": lambda comm, out, **o: comm.all_gather(three(), out=out, **o),
    "gather": lambda comm, out, **o: comm.gather(three(), comm.rank, out=out, **o),
    "reduce_scatter": lambda comm, out, **o: comm.reduce_scatter(rows(comm), out=out, **o),
    "all_to_all": lambda comm, out, **o: comm.all_to_all(rows(comm), out=out, **o),
}
ANY_OUTS: dict[str, Callable[..., Any]] = {  # what arrives decides which out is right
    "scatter": lambda comm, out, **o: comm.scatter(rows(comm) if comm.rank == 0 else None, out=out, **o),
    "recv": lambda comm, out: comm.recv(0, out=out),
    "irecv": lambda comm, out: comm.irecv(0, out=out),
}
ROOTS: dict[str, Callable[..., Any]] = {
    "broadcast": lambda comm, root, **o: comm.broadcast(three(), root, **o),
    "reduce": lambda comm, root, **o: comm.reduce(three(), root, **o),
    "gather": lambda comm, root, **o: comm.gather(three(), root, **o),
    "scatter": lambda comm, root, **o: comm.scatter(rows(comm), root, **o),
    "broadcast_object": lambda comm, root: comm.broadcast_object(1, root),
    "gather_object": lambda comm, root: comm.gather_object(1, root),
    "scatter_object": lambda comm, root: comm.scatter_object([1] * comm.size, root),
}
RANKS: dict[str, Callable[..., Any]] = {
    "send dest": lambda comm, rank: comm.send(three(), rank),
    "isend dest": lambda comm, rank: comm.isend(three(), rank),
    "send_object dest": lambda comm, rank: comm.send_object(1, rank),
    "recv source": lambda comm, rank: comm.recv(rank),
    "irecv source": lambda comm, rank: comm.irecv(rank),
    "recv_object source": lambda comm, rank: comm.recv_object(rank),
}
TAGS: dict[str, Callable[..., Any]] = {
    "send": lambda comm, tag: comm.send(three(), 0, tag),
    "isend": lambda comm, tag: comm.isend(three(), 0, tag),
    "send_object": lambda comm, tag: comm.send_object(1, 0, tag),
    "recv": lambda comm, tag: comm.recv(0, tag),
    "irecv": lambda comm, tag: comm.irecv(0, tag),
    "recv_object": lambda comm, tag: comm.recv_object(0, tag),
}
OPS: dict[str, Callable[..., Any]] = {
    "all_reduce": lambda comm, op, dtype, **o: comm.all_reduce(three(dtype), op, **o),
    "reduce": lambda comm, op, dtype, **o: comm.reduce(three(dtype), 0, op, **o),
    "reduce_scatter": lambda comm, op, dtype, **o: comm.reduce_scatter(rows(comm).astype(dtype), op, **o),
}


def refusals(size: int) -> Iterator[tuple[str, Refusal]]:
    """The name of each row and the row."""
    for verb, call in ARRAYS.items():
        for name, array, error, says in (
            ("a list", [1.0], TypeError, "NumPy array.*not list"),
            ("a number", np.float64(1), TypeError, "NumPy array.*not float64"),
            ("None", None, TypeError, "NumPy array.*not None"),
            ("a tensor", minipar.tensor([1.0]), TypeError, r"NumPy array.*not Tensor: pass tensor\.array, .*backward"),
            ("a masked array", np.ma.zeros(3), TypeError, "NumPy array.*not MaskedArray"),
            ("objects", np.array([None]), TypeError, "numeric dtype.*not object"),
            ("text", np.array(["a"]), TypeError, "numeric dtype.*not <U1"),
            ("dates", np.array(["2026-01-01"], "M8[D]"), TypeError, "numeric dtype.*not datetime64"),
        ):
            yield f"{verb} of {name}", Refusal(_given(call, array), error, (verb.removeprefix("i"), says))
        if verb in ("broadcast", "all_reduce", "reduce") and (size > 1 or verb != "broadcast"):
            yield (
                f"{verb} of a read-only array",
                Refusal(_given(call, read_only((3,))), ValueError, (verb, "read-only")),
            )
        if verb in ("scatter", "reduce_scatter", "all_to_all"):
            for shape in ((size + 1, 3), (0, 3), ()):
                says = re.escape(str(shape))
                yield (
                    f"{verb} of {shape}",
                    Refusal(_given(call, np.zeros(shape)), ValueError, (verb, rf"\({size}, ", says)),
                )
    for verb, call in {**OUTS, **ANY_OUTS}.items():
        row = Refusal(_given(call, minipar.zeros(3)), TypeError, (verb, "NumPy array as out, not Tensor"))
        yield f"{verb} into a tensor", row
        yield f"{verb} into a list", Refusal(_given(call, [0.0]), TypeError, (verb, "out", "list"))
        yield f"{verb} into objects", Refusal(_given(call, np.array([None])), TypeError, (verb, "out", "object"))
        wrong = read_only((size, 3) if verb in ("all_gather", "gather", "all_to_all") else (3,))
        yield f"{verb} into what is read-only", Refusal(_given(call, wrong), ValueError, (verb, "out", "read-only"))
    for verb, call in OUTS.items():
        right = (size, 3) if verb in ("all_gather", "gather", "all_to_all") else (3,)
        for out in (np.zeros((*right, 1)), np.zeros((size + 3,)), np.zeros(right, np.float32)):
            says = ("out", re.escape(f"float64 {right}"), re.escape(f"{out.dtype} {out.shape}"))
            yield f"{verb} into {out.dtype} {out.shape}", Refusal(_given(call, out), ValueError, (verb, *says))
    for name, verbs in (("root", ROOTS), ("", RANKS)):
        for verb, call in verbs.items():
            argument = name or verb.split()[1]
            for rank in (-1, size, size + 7):
                says = (rf"{argument}={rank}\b", rf"0 to {size - 1}")
                yield f"{verb}={rank}", Refusal(_given(call, rank), ValueError, says)
            for rank in ("0", 0.0, None):
                says = (re.escape(f"{argument}={rank!r}"), "whole number", type(rank).__name__)
                yield f"{verb}={rank!r}", Refusal(_given(call, rank), TypeError, says)
    for verb, call in TAGS.items():
        for tag, error in ((-1, ValueError), (2**31, ValueError), ("0", TypeError), (1.0, TypeError)):
            yield f"{verb} tag={tag!r}", Refusal(_given(call, tag), error, (re.escape(f"tag={tag!r}"),))
    for verb, call in OPS.items():
        for op, dtype, error, says in (
            ("median", "d", ValueError, "sum, mean, max, min, prod"),
            (None, "d", ValueError, "sum, mean, max, min, prod"),
            (["sum"], "d", ValueError, "sum, mean, max, min, prod"),
            ("mean", "i", TypeError, "int32"),
            ("mean", "?", TypeError, "bool"),
            ("max", "D", TypeError, "complex128"),
            ("min", "F", TypeError, "complex64"),
        ):
            row = Refusal(_given(call, op, dtype), error, (re.escape(f"op={op!r}"), says))
            yield f"{verb} op={op!r} of {dtype}", row
    for algorithm, error in (("rings", ValueError), ("", ValueError), (3, TypeError)):
        says = (re.escape(f"algorithm={algorithm!r}"), "ring, tree, halving-doubling, master")
        call = lambda comm, algorithm, **o: comm.all_reduce(three(), algorithm=algorithm, **o)  # noqa: E731
        yield f"algorithm={algorithm!r}", Refusal(_given(call, algorithm), error, says)
    for objects, error, says in (
        (None, TypeError, "NoneType"),
        (7, TypeError, "int"),
        ([1] * (size + 1), ValueError, f"{size}, not {size + 1}"),
    ):
        call = lambda comm, objects: comm.scatter_object(objects, comm.rank)  # noqa: E731
        yield f"scatter_object of {objects}", Refusal(_given(call, objects), error, ("scatter_object", says))
    for color, key, says in (("a", 0, "color='a'"), (1.5, 0, "color=1.5"), (0, "b", "key='b'"), (0, None, "key=None")):
        call = lambda comm, color, key: comm.split(color, key)  # noqa: E731
        yield f"split({color!r}, {key!r})", Refusal(_given(call, color, key), TypeError, (says, "whole number"))
    for shape, dtype, error, says in (
        ((3,), "O", TypeError, "object"),
        ((-1,), "d", ValueError, r"shape=\(-1,\)"),
        ("a", "d", TypeError, "shape='a'"),
        ((3,), "no dtype", TypeError, "no dtype"),
    ):
        call = lambda comm, shape, dtype: comm.empty(shape, dtype)  # noqa: E731
        yield f"empty({shape!r}, {dtype!r})", Refusal(_given(call, shape, dtype), error, (says,))


def _given(call: Callable[..., Any], *arguments: Any) -> Callable[..., Any]:
    return lambda comm, **options: call(comm, *arguments, **options)


def takes_async(name: str) -> bool:
    return not re.match(r"(i?send|i?recv|\w+_object|split|empty)\b", name)


def what_is_not_refused(comm: Communicator) -> list[str]:
    """On a rank: a line for each wrong call that is not refused as the table says, or that left something behind."""
    complaints = []
    for name, refusal in refusals(comm.size):
        for options in ({}, {"async_op": True})[: 1 + takes_async(name)]:
            try:
                refusal.call(comm, **options)
            except Exception as error:
                said = str(error)
                if type(error) is not refusal.error or not all(re.search(words, said) for words in refusal.says):
                    complaints.append(f"{name} {options}: {type(error).__name__}: {said}, not {refusal.says}")
            else:
                complaints.append(f"{name} {options}: was not refused")
        total = comm.all_reduce(np.array([comm.rank]))
        if total.item() != sum(range(comm.size)):
            complaints.append(f"{name}: the next all_reduce gave {total}")
    return complaints

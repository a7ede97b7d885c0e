"""A short all-reduce among processes in one call: what `parallel.comm` does step by step, without Python in between.

The ranks share memory: ``lines`` and a ``board`` (64-bit numbers, in which each tells the others what it does) and
``slots`` (one a rank). A rank puts its array into its slot, tells that it has arrived, waits until all have, and adds
up the slots in the order of the ranks. What the numbers mean is said by `minipar.parallel.comm.lines` and `.board`; the
same steps in Python, which also serve where a rank is late, stand in `.meeting` and `.process`.

Numbers are read and written as the other processes must see them: ``load`` (acquire) and ``store`` (release), so that a
processor which may reorder memory accesses (ARM) sees the slots filled where it sees the rank arrived. See Boehm and
Adve 2008, "Foundations of the C++ concurrency memory model".
"""

from numba.core import types
from numba.extending import intrinsic

from .compile import compiled
from .vectors import first_element

DONE, LATE, DIFFERENT, FAILED = range(4)
_LINE = 8  # words of a rank's line: epoch, two digests
_COLLECTIVE, _USER_CODE = 2, 1  # of `minipar.parallel.comm.board.Activity`


@intrinsic
def load(typing, words, index):
    """words[index], as another process has stored it, and all that it has written before is there to read."""

    def generate(context, builder, signature, arguments):
        return builder.load_atomic(_pointer(context, builder, signature, arguments), "acquire", 8)

    return types.int64(words, types.int64), generate


@intrinsic
def store(typing, words, index, value):
    """words[index] = value, seen by other processes after all that was written before."""

    def generate(context, builder, signature, arguments):
        builder.store_atomic(arguments[2], _pointer(context, builder, signature, arguments), "release", 8)
        return context.get_dummy_value()

    return types.void(words, types.int64, types.int64), generate


def _pointer(context, builder, signature, arguments):
    return builder.gep(first_element(context, builder, signature.args[0], arguments[0]), [arguments[1]])


_SIGNATURE = "int64(int64[::1],int64[::1],{0}[::1],{0}[::1],int64[::1],int64,int64,int64,int64,boolean)"


@compiled([_SIGNATURE.format(real) for real in ("float32", "float64")])
def meet_and_add(lines, board, slots, flat, places, half, number, epoch, digest, mean):
    """Add up ``flat`` of all ranks, in place; with no elements, a barrier.

    lines    of the ranks, each of _LINE words
    board    its first word says whether a rank has failed; from word me on, what this rank does
    slots    what the ranks put in: rank r from element half + r * step on
    places   (rank, size, me, step, patience); patience: how often to look for a rank that is late
    half     which slots: no rank may be using them for a call before
    number, epoch, digest   of this call, as `comm.lines` has it
    mean     divide by the number of ranks

    Returns DONE, or LATE, DIFFERENT (ranks mean different calls), FAILED (a rank has): then ``flat`` is as it was, and
    the caller goes on from there. ValueError, and nothing done, if a place is outside of lines, board or slots.
    """
    rank, size, me, step, patience = places[0], places[1], places[2], places[3], places[4]
    n = len(flat)
    if not (0 <= rank < size and half >= 0 and n <= step and half + (size - 1) * step + n <= len(slots)):
        raise ValueError("flat and half do not fit to slots")
    if not (size * _LINE <= len(lines) and me > 0 and me + 3 <= len(board)):
        raise ValueError("rank and me do not fit to lines and board")
    own, parity = rank * _LINE, number & 1
    lines[own + 1 + parity] = digest
    board[me + 1] = number
    board[me + 2] += 1
    board[me] = _COLLECTIVE
    first = slots[half : half + n]
    mine = slots[half + rank * step : half + rank * step + n]
    for i in range(n):
        mine[i] = flat[i]
    store(lines, own, epoch)
    if load(board, 0) != 0:
        return FAILED
    for other in range(size):
        looks = 0
        while load(lines, other * _LINE) < epoch:
            looks += 1
            if looks > patience:
                return LATE
    for other in range(size):
        if lines[other * _LINE + 1 + parity] != digest:
            return DIFFERENT
    for i in range(n):
        flat[i] = first[i]
    for other in range(1, size):
        theirs = slots[half + other * step : half + other * step + n]
        for i in range(n):
            flat[i] += theirs[i]
    if mean:
        for i in range(n):
            flat[i] = flat[i] / size
    board[me] = _USER_CODE
    return DONE

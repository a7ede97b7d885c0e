"""All-reduce among processes in one call: what `parallel.comm` does step by step, without Python in between.

The ranks share memory: ``lines`` and a ``board`` (64-bit numbers, in which each tells the others what it does),
``slots`` for what is short, and blocks of registered memory. A rank tells that it has arrived, waits until all have,
and adds up what all show, in the order of the ranks. What the numbers mean is said by `minipar.parallel.comm.lines`,
`.board` and `.registered`; the same steps in Python, which also serve where a rank is late, stand in `.meeting` and
`.process`.

Numbers are read and written as the other processes must see them: ``load`` (acquire) and ``store`` (release), so that a
processor which may reorder memory accesses (ARM) sees the slots filled where it sees the rank arrived. See Boehm and
Adve 2008, "Foundations of the C++ concurrency memory model".
"""

from llvmlite import ir
from numba import njit
from numba.core import cgutils, types
from numba.extending import intrinsic

from .compile import compiled
from .vectors import first_element

DONE, LATE, DIFFERENT, FAILED, APART, ADDED = range(6)
_LINE = 8  # words of a rank's line: epoch, two digests, two places
_BLOCK = 4096  # elements that are added up at a time: those of some ranks stay in the first cache
_COLLECTIVE, _USER_CODE = 2, 1  # of `minipar.parallel.comm.board.Activity`

_in_place = njit(error_model="numpy", inline="always")  # a call with arrays counts their owners up and down: 20 ns each


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


@intrinsic
def offer_core(typing):
    """Let another process that waits for this core have it: sched_yield(2)."""

    def generate(context, builder, signature, arguments):
        function = ir.FunctionType(ir.IntType(32), [])
        builder.call(cgutils.get_or_insert_function(builder.module, function, "sched_yield"), [])
        return context.get_dummy_value()

    return types.void(), generate


@_in_place
def _all_arrive(lines, board, size, epoch, patience):
    """DONE as soon as every rank has arrived at the meeting of this epoch; LATE, FAILED.

    patience: how often to look before the core is offered to others, and how often then.
    """
    looks, offers = patience
    for other in range(size):
        turn = 0
        while load(lines, other * _LINE) < epoch:
            turn += 1
            if turn > looks:
                if turn > looks + offers:
                    return LATE
                if load(board, 0) != 0:
                    return FAILED
                offer_core()
    return DONE


@_in_place
def _arrive(lines, board, places, number, epoch, digest):
    """The first meeting of a call: DONE if all ranks mean the same one; LATE, DIFFERENT, FAILED."""
    rank, size, me = places[0], places[1], places[2]
    own, parity = rank * _LINE, number & 1
    lines[own + 1 + parity] = digest
    board[me + 1] = number
    board[me + 2] += 1
    board[me] = _COLLECTIVE
    store(lines, own, epoch)
    if load(board, 0) != 0:
        return FAILED
    status = _all_arrive(lines, board, size, epoch, (places[3], places[4]))
    if status == DONE:
        for other in range(size):
            if lines[other * _LINE + 1 + parity] != digest:
                return DIFFERENT
    return status


_NUMBERS = "int64[::1],int64[::1]"  # lines, board


@compiled(
    [
        f"int64({_NUMBERS},{{0}}[::1],{{0}}[::1],int64[::1],int64,int64,int64,int64,int64,boolean)".format(real)
        for real in ("float32", "float64")
    ]
)
def meet_and_add(lines, board, slots, flat, places, step, half, number, epoch, digest, mean):
    """Add up ``flat`` of all ranks, in place; with no elements, a barrier.

    lines    of the ranks, each of _LINE words
    board    its first word says whether a rank has failed; from word me on, what this rank does
    slots    what the ranks put in: rank r from element half + r * step on; none may be in use for a call before
    places   (rank, size, me, looks, offers): how often to look for a rank that is late, before and after the core is
             offered to others
    number, epoch, digest   of this call, as `comm.lines` has it
    mean     divide by the number of ranks

    Returns DONE, or LATE, DIFFERENT (ranks mean different calls), FAILED (a rank has): then ``flat`` is as it was, and
    the caller goes on from there. ValueError, and nothing done, if a place is outside of lines, board or slots.
    """
    rank, size, n = places[0], places[1], len(flat)
    if not (_fits(lines, board, places) and half >= 0 and n <= step and half + (size - 1) * step + n <= len(slots)):
        raise ValueError("places, flat or half do not fit to the memory")
    first = slots[half : half + n]
    mine = slots[half + rank * step : half + rank * step + n]
    for i in range(n):
        mine[i] = flat[i]
    status = _arrive(lines, board, places, number, epoch, digest)
    if status != DONE:
        return status
    for i in range(n):
        flat[i] = first[i]
    for other in range(1, size):
        theirs = slots[half + other * step : half + other * step + n]
        for i in range(n):
            flat[i] += theirs[i]
    if mean:
        for i in range(n):
            flat[i] = flat[i] / size
    board[places[2]] = _USER_CODE
    return DONE


@compiled(
    [
        f"int64({_NUMBERS},{{0}}[::1],int64[::1],int64,int64,int64,int64,int64,int64,int64,int64,boolean)".format(real)
        for real in ("float32", "float64")
    ],
    nogil=True,
)
def meet_and_add_in_place(lines, board, block, places, each, start, n, number, epoch, digest, place, told, mean):
    """Add up n elements of registered memory that lie at the same place of all ranks, in the memory of all.

    block    the parts of all ranks: rank r's n elements begin at element r * each + start
    place, told   what this rank tells of where they lie, and how often ranks have told so, this time included
    The rest as in `meet_and_add`. Every rank adds up its share, and writes it into the parts of all (reduce-scatter and
    all-gather in one); a second meeting, with epoch + 1, ends the call.

    Returns DONE, or LATE, DIFFERENT, FAILED, APART (they lie at different places): then nothing is added yet; or ADDED:
    this rank has arrived at the second meeting, and not all the others.
    """
    rank, size = places[0], places[1]
    if not (_fits(lines, board, places) and n >= 0 and start >= 0 and start + n <= each and size * each <= len(block)):
        raise ValueError("places, each, start or n do not fit to the memory")
    lines[rank * _LINE + 3 + (told & 1)] = place
    status = _arrive(lines, board, places, number, epoch, digest)
    if status != DONE:
        return status
    for other in range(size):
        if lines[other * _LINE + 3 + (told & 1)] != place:
            return APART
    share = -(-n // size)
    end = min(n, (rank + 1) * share)
    for begin in range(min(n, rank * share), end, _BLOCK):
        count = min(_BLOCK, end - begin)
        first = block[start + begin : start + begin + count]
        for other in range(1, size):
            theirs = block[other * each + start + begin : other * each + start + begin + count]
            for i in range(count):
                first[i] += theirs[i]
        if mean:
            for i in range(count):
                first[i] = first[i] / size
        for other in range(1, size):
            theirs = block[other * each + start + begin : other * each + start + begin + count]
            for i in range(count):
                theirs[i] = first[i]
    store(lines, rank * _LINE, epoch + 1)
    if _all_arrive(lines, board, size, epoch + 1, (places[3], places[4])) != DONE:
        return ADDED
    board[places[2]] = _USER_CODE
    return DONE


@_in_place
def _fits(lines, board, places):
    rank, size, me = places[0], places[1], places[2]
    return 0 <= rank < size and size * _LINE <= len(lines) and me > 0 and me + 3 <= len(board)

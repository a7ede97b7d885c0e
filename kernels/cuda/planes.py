"""Where a number lies, for kernels with a thread to each number of an array of planes."""

from numba import cuda, int32, uint32


@cuda.jit(device=True)
def place_of(i, rows, columns):
    """(plane, row, column) of number ``i`` of planes of ``rows`` x ``columns``.

    Numba's integers are of 64 bits wherever a sign has to be kept, and a GPU divides those in a subroutine; it divides
    these in a few instructions.
    """
    line = uint32(uint32(i) // uint32(columns))
    column = uint32(uint32(i) - line * uint32(columns))
    plane = uint32(line // uint32(rows))
    return int32(plane), int32(line - plane * uint32(rows)), int32(column)

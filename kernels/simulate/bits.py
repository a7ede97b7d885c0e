"""``cuda.popc`` and its like: functions of the 32 bits of an integer."""

from collections.abc import Callable
from typing import Any

from .errors import here

WIDTH = 32


def _of_bits(function: Callable[[int], int]) -> Callable[[Any], int]:
    """``function`` of an integer of 32 bits, a negative one in two's complement."""

    def call(x: Any) -> int:
        if not -(2 ** (WIDTH - 1)) <= x < 2**WIDTH:
            raise NotImplementedError(f"the simulator counts bits of 32-bit integers only, got {x}{here()}")
        return function(int(x) % 2**WIDTH)

    return call


BITS = {
    "popc": _of_bits(int.bit_count),  # how many are set
    "clz": _of_bits(lambda x: WIDTH - x.bit_length()),  # the zeros in front
    "ffs": _of_bits(lambda x: (x & -x).bit_length()),  # where the lowest one is, counted from 1; 0 if none
    "brev": _of_bits(lambda x: int(f"{x:032b}"[::-1], 2)),  # in reverse order
}

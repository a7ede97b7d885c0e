"""How many blocks of a kernel a multiprocessor holds at once, from what the compiler says of it; needs no GPU.

While the threads of one block wait for memory or at a barrier, those of another can work. What limits their number:
registers, shared memory, threads and blocks. (*CUDA C++ Programming Guide*, "Compute Capabilities", "Technical
Specifications per Compute Capability".)
"""

from typing import NamedTuple

from .compiler import Capability, Cubin
from .plan import WARP

REGISTER_UNIT = 256  # a warp is given registers by so many


class Multiprocessor(NamedTuple):
    """What it has to share out. ``shared`` memory is in bytes, of which each block costs ``reserved`` more."""

    shared: int
    threads: int = 2048
    blocks: int = 32
    registers: int = 65536
    reserved: int = 1024


MULTIPROCESSORS: dict[Capability, Multiprocessor] = {
    (8, 0): Multiprocessor(shared=164 * 1024),  # A100
    (9, 0): Multiprocessor(shared=228 * 1024),  # H100, H200
}


def resident_blocks(cubin: Cubin, threads: int, capability: Capability) -> int:
    """Blocks of so many ``threads`` that fit together, 0 if not even one. KeyError for an architecture not listed."""
    has = MULTIPROCESSORS[capability]
    warps = -(-threads // WARP)
    of_a_warp = -(-cubin.registers * WARP // REGISTER_UNIT) * REGISTER_UNIT
    by_registers = has.registers // of_a_warp // warps
    by_shared = has.shared // max(cubin.shared, has.reserved)  # what the compiler reports includes what is reserved
    return min(by_registers, by_shared, has.threads // (warps * WARP), has.blocks)


def occupancy(cubin: Cubin, threads: int, capability: Capability) -> float:
    """The threads of those blocks, of all that the multiprocessor could hold: 0 to 1."""
    return resident_blocks(cubin, threads, capability) * threads / MULTIPROCESSORS[capability].threads

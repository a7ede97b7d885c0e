"""What the kernels' texts promise, looked for in their machine code. Needs no GPU, but nvdisasm."""

from collections import Counter

import numpy as np
import pytest

from minipar.kernels.cuda import compiler, detect, disassembler
from minipar.kernels.cuda.matmul import HALVES, RUNGS, double_buffered
from minipar.kernels.cuda.plan import Kernel

usable, reason = detect.compiler_status()
if usable and disassembler.disassembler() is None:
    usable, reason = False, f"needs nvdisasm: {disassembler.INSTALL}"
needs_tools = pytest.mark.skipif(not usable, reason=reason)
each_architecture = pytest.mark.parametrize("capability", [(8, 0), (9, 0)], ids=["sm_80", "sm_90"])

# Operations of an integer division (a reciprocal, and to and fro between integers and floats), and of float64.
DIVISIONS = {"MUFU", "I2F", "F2I", "I2FP"}
DOUBLES = {"DADD", "DMUL", "DFMA", "DSETP", "DMNMX"}
SPILLS = {"LDL", "STL"}


def machine_code(kernel: Kernel, capability: tuple[int, int]) -> str:
    return disassembler.disassemble(compiler.build(kernel, capability).code)


@needs_tools
@each_architecture
def test_the_float32_product_is_as_dense_as_it_promises(capability):
    kernel, tile, _ = RUNGS["double-buffered"]
    text = machine_code(kernel(np.dtype(np.float32), tile, False, False, True, True, True), capability)
    everything, loop = disassembler.instructions(text), disassembler.main_loop(text)
    names, operations = Counter(i.name for i in loop), Counter(i.operation for i in loop)
    products = tile.k * tile.thread_m * tile.thread_n
    assert operations["FFMA"] == products  # of one tile, written out: none twice, and none in another loop
    assert operations["FFMA"] / len(loop) > 0.78
    assert names["LDS.128"] == operations["LDS"] == tile.k * (tile.thread_m + tile.thread_n) // 4
    assert operations["LDG"] == 2  # a thread brings four numbers of A, and four of B
    assert sum(name.endswith("128") for name in names.elements() if name.startswith("LDG")) == 2
    assert operations["BAR"] == 1
    assert not (DIVISIONS | DOUBLES | SPILLS) & set(operations)
    stores = [i.name for i in everything if i.operation == "STG"]
    assert stores == ["STG.E.128"] * (tile.thread_m * tile.thread_n // 4)
    assert not (DOUBLES | SPILLS) & {i.operation for i in everything}


@needs_tools
def test_a_warp_multiplies_its_whole_tile_in_the_loop_of_tensor_cores():
    wanted = {"tf32": "HMMA.1688.F32.TF32", "bf16": "HMMA.16816.F32.BF16", "fp16": "HMMA.16816.F32"}
    for name, instruction in wanted.items():
        dtype = np.dtype(np.float16 if name == "fp16" else np.float32)
        kernel, tile, _ = HALVES if name == "fp16" else RUNGS[name]
        loop = disassembler.main_loop(machine_code(kernel(dtype, tile, False, False, True, True), (9, 0)))
        counts = Counter(i.name for i in loop)
        step = tile.warp_m // 16 * (tile.warp_n // 8)  # the products of one depth; the loop may have several
        assert counts[instruction] in (step, 2 * step), name
        assert not (DIVISIONS | DOUBLES | SPILLS) & {i.operation for i in loop}, name


@needs_tools
def test_a_kernel_that_divides_and_takes_doubles_is_told_apart():
    from numba import cuda, int32

    def divides(x, n):
        total = 0.0
        for k in range(n):
            total += x[int32(k // n)] * 0.1
        x[int32(cuda.threadIdx.x)] = total

    text = machine_code(Kernel(divides, np.dtype(np.float32), 1, 32), (8, 0))
    operations = {i.operation for i in disassembler.instructions(text)}
    assert DOUBLES & operations
    assert DIVISIONS & operations


TEXT = """
.text.kernel:
        /*0000*/                   IMAD.MOV.U32 R1, RZ, RZ, c[0x0][0x28] ;
.L_x_0:
        /*0010*/                   LDG.E.128 R4, [R2.64] ;
.L_x_1:
        /*0020*/                   FFMA R0, R4, R5, R0 ;
        /*0030*/              @!P0 FFMA R0, R4, R5, R0 ;
        /*0040*/               @P1 BRA `(.L_x_1) ;
        /*0050*/              @UP2 BRA.U `(.L_x_0) ;
        /*0060*/                   EXIT ;
.L_x_2:
        /*0070*/                   BRA `(.L_x_2);
        /*0080*/                   NOP;
"""


def test_machine_code_is_read():
    names = [i.name for i in disassembler.instructions(TEXT)]
    assert names == ["IMAD.MOV.U32", "LDG.E.128", "FFMA", "FFMA", "BRA", "BRA.U", "EXIT", "BRA"]
    assert [i.name for i in disassembler.main_loop(TEXT)] == ["FFMA", "FFMA", "BRA"]  # the inner one
    assert disassembler.instructions(TEXT)[1] == ("LDG.E.128", "R4, [R2.64] ")
    assert disassembler.main_loop(TEXT.replace("FFMA", "FADD")) == []


def test_without_nvdisasm_it_is_said_where_to_find_it(monkeypatch):
    monkeypatch.setattr(disassembler, "disassembler", lambda: None)
    with pytest.raises(FileNotFoundError, match=r"needs nvdisasm: pip install"):
        disassembler.disassemble(b"")


@needs_tools
def test_what_is_no_cubin_is_refused():
    with pytest.raises(RuntimeError, match="nvdisasm refuses the cubin"):
        disassembler.disassemble(b"no cubin")


def test_the_default_is_what_is_looked_at():
    assert RUNGS["double-buffered"].tile is double_buffered.TILE

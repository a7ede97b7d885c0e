"""The compile gate: what NVVM and ptxas make of every kernel, for two architectures. Needs no GPU and no driver."""

import ast
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_convolution_compile import in_every_form, small
from test_cuda_fused_compile import kernels as fused

import minipar.kernels.cuda
from minipar.kernels.cuda import compiler, detect
from minipar.kernels.cuda.conv2d import direct
from minipar.kernels.cuda.conv2d.products import TILES
from minipar.kernels.cuda.matmul import HALVES, RUNGS
from minipar.kernels.cuda.occupancy import occupancy, resident_blocks
from minipar.kernels.cuda.plan import Kernel
from tools import make_kernel_tables as tables

usable, reason = detect.compiler_status()
pytestmark = pytest.mark.skipif(not usable, reason=reason)

ARCHITECTURES = [(8, 0), (9, 0)]
FLAGS = list(itertools.product((False, True), repeat=2))  # is A, is B transposed?
FOLDER = Path(minipar.kernels.cuda.__file__).parent


def check(kernel: Kernel, capability: tuple[int, int]) -> None:
    cubin = tables.built(kernel, capability)
    assert cubin.code.startswith(b"\x7fELF")
    assert kernel.name.encode() in cubin.code
    assert (kernel.name, cubin.spills, cubin.stack) == (kernel.name, 0, 0)
    assert resident_blocks(cubin, kernel.threads, capability) >= kernel.min_blocks
    assert (cubin.double_instructions > 0) == (kernel.dtype == np.float64)


@pytest.mark.parametrize("capability", ARCHITECTURES, ids=lambda capability: "sm_{}{}".format(*capability))
def test_every_kernel_of_the_table_fits_in_registers_and_has_no_float64(capability):
    for _, kernel in tables.kernels():
        check(kernel, capability)


@pytest.mark.parametrize("capability", ARCHITECTURES, ids=lambda capability: "sm_{}{}".format(*capability))
def test_kernels_of_float64_fit_in_registers_and_compute_in_float64(capability):
    dtype = np.dtype(np.float64)
    for kernel, tile, options in RUNGS.values():
        if not options:  # those are for float32 alone
            check(kernel(dtype, tile, False, False), capability)
            check(kernel(dtype, tile, False, True), capability)


def test_every_kernel_passes_a_gate():
    """Each function that any file of kernels/cuda makes a Kernel of: here, with the convolutions, or with the fused."""
    float32 = np.dtype(np.float32)
    gated = [kernel for _, kernel in tables.kernels()] + small(float32) + in_every_form(TILES[0]) + fused(float32)
    calls = (
        node
        for file in FOLDER.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Kernel"
    )
    assert {call.args[0].id for call in calls} == {kernel.name for kernel in gated}


def test_the_table_is_current():
    """To the last register, if the compilers are those of the page; else in what the kernels alone decide."""
    on_page, now = (table.splitlines() for table in (tables.on_page("compiled"), tables.compiled()))
    if on_page[-1] != now[-1]:
        ours = (0, 1, -3, -2)  # kernel, threads, spilled, fp64: between two bars that end a line
        on_page, now = ([[line.split("|")[1:][i] for i in ours] for line in lines[:-2]] for lines in (on_page, now))
    assert on_page == now, "run tools/make_kernel_tables.py"


@pytest.mark.slow
def test_what_each_rung_moves_is_current():
    assert tables.on_page("moved") == tables.moved(), "run tools/make_kernel_tables.py"


@pytest.mark.slow
@pytest.mark.parametrize("capability", ARCHITECTURES, ids=lambda capability: "sm_{}{}".format(*capability))
def test_every_variant_of_a_product_fits_in_registers(capability):
    for name, (kernel, tile, options) in {**RUNGS, "fp16": HALVES}.items():
        dtype = np.dtype(np.float16 if name == "fp16" else np.float32)
        for flags, chosen in itertools.product(FLAGS, ({}, dict.fromkeys(options, True)) if options else ({},)):
            check(kernel(dtype, tile, *flags, **chosen), capability)


def test_the_entry_takes_plain_pointers_and_int32s():
    kernel = direct.grad_input_kernel(np.dtype(np.float32), 64)
    ptx = compiler.to_ptx(kernel, (8, 0))
    entry = ptx[ptx.index(f".entry {kernel.name}(") :].partition(")")[0]
    assert entry.count(".param .u64") == kernel.pointers == 3
    assert entry.count(".param .u32") == 17
    assert entry.count(f"{kernel.name}_param_") == 20
    assert ".maxntid 64" in ptx


@pytest.mark.parametrize("capability", ARCHITECTURES, ids=lambda capability: "sm_{}{}".format(*capability))
def test_the_compiler_leaves_room_for_the_blocks_that_shall_run_together(capability):
    rung = RUNGS["double-buffered"]
    everything = dict.fromkeys(rung.options, True)
    bound = rung.kernel(np.dtype(np.float32), rung.tile, False, True, **everything)
    free = replace(bound, min_blocks=1)
    assert ".minnctapersm 2" in compiler.to_ptx(bound, capability)
    together, alone = tables.built(bound, capability), tables.built(free, capability)
    assert together.registers <= 128 < alone.registers
    assert resident_blocks(together, bound.threads, capability) == 2
    assert resident_blocks(alone, free.threads, capability) == 1


def test_what_is_scarce_limits_the_blocks_that_run_together():
    def blocks(registers, shared, threads, capability=(8, 0)):
        return resident_blocks(compiler.Cubin(b"", registers, 0, 0, shared, 0, 0), threads, capability)

    assert blocks(32, 0, 256) == 8  # threads
    assert blocks(32, 0, 32) == 32  # blocks
    assert blocks(128, 0, 256) == 2  # registers
    assert blocks(129, 0, 256) == 1  # given out by eight
    assert blocks(255, 0, 1024) == 0
    assert blocks(32, 40 * 1024, 128) == 4  # shared memory
    assert blocks(32, 40 * 1024, 128, (9, 0)) == 5
    assert occupancy(compiler.Cubin(b"", 128, 0, 0, 0, 0, 0), 256, (8, 0)) == 0.25


def test_a_kernel_that_computes_in_float64_by_accident_is_noticed():
    def tenth(x, n):
        x[n] = x[n] * 0.1

    assert compiler.build(Kernel(tenth, np.dtype(np.float32), 1, 32), (8, 0)).double_instructions > 0


def test_ptx_that_the_assembler_refuses_is_shown_with_its_reason():
    with pytest.raises(RuntimeError, match=r"nvJitLink refuses the kernel: .*syntax error"):
        compiler.assemble(".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry broken( {}", (8, 0))

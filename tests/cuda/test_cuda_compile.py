"""The compile gate: what NVVM and ptxas make of every kernel, for two architectures. Needs no GPU and no driver."""

import ast
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import minipar.kernels.cuda
from minipar.kernels.cuda import compiler, cross_entropy, detect, optimizer_steps
from minipar.kernels.cuda.conv2d import direct, products
from minipar.kernels.cuda.conv2d.implicit_gemm import implicit_gemm_kernel
from minipar.kernels.cuda.conv2d.tensor_cores import tensor_core_kernel
from minipar.kernels.cuda.matmul import HALVES, RUNGS
from minipar.kernels.cuda.occupancy import occupancy, resident_blocks
from minipar.kernels.cuda.plan import Kernel
from tools import make_kernel_tables as tables
from tools.make_kernel_tables import ARCHITECTURES, FLOAT32, FLOAT64, PAGES

usable, reason = detect.compiler_status()
pytestmark = pytest.mark.skipif(not usable, reason=reason)

each_architecture = pytest.mark.parametrize("capability", ARCHITECTURES, ids=["sm_80", "sm_90"])
CHOICES = list(itertools.product((False, True), repeat=2))
FOLDER = Path(minipar.kernels.cuda.__file__).parent


def check(kernel: Kernel, capability: tuple[int, int]) -> None:
    cubin = tables.built(kernel, capability)
    assert cubin.code.startswith(b"\x7fELF")
    assert kernel.name.encode() in cubin.code
    assert (kernel.name, cubin.spills, cubin.stack) == (kernel.name, 0, 0)
    assert cubin.registers > 0
    assert resident_blocks(cubin, kernel.threads, capability) >= kernel.min_blocks
    assert (kernel.name, cubin.double_instructions > 0) == (kernel.name, kernel.dtype == FLOAT64)


@each_architecture
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT64], ids=str)
@pytest.mark.parametrize("page", PAGES)
def test_every_kernel_fits_in_registers_and_float32_stays_float32(page, dtype, capability):
    for _, kernel in PAGES[page](dtype):
        check(kernel, capability)


@pytest.mark.parametrize("page", PAGES)
def test_the_table_of_a_page_is_what_is_compiled(page):
    """To the last register, if the compilers are those of the page; else in what the kernels alone decide."""
    on_page, now = (table.splitlines() for table in (tables.on_page(page, "compiled"), tables.compiled(page)))
    if on_page[-1] != now[-1]:
        ours = (0, 1, -3, -2)  # kernel, threads, spilled, fp64: between two bars that end a line
        on_page, now = ([[line.split("|")[1:][i] for i in ours] for line in lines[:-2]] for lines in (on_page, now))
    assert on_page == now, "run tools/make_kernel_tables.py"


def test_every_kernel_is_in_a_table():
    """Each function that any file of kernels/cuda makes a Kernel of."""
    named = [pair for page in PAGES.values() for pair in page(FLOAT32)]
    calls = (
        node
        for file in FOLDER.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Kernel"
    )
    assert {call.args[0].id for call in calls} == {kernel.name for _, kernel in named}
    assert len({name for name, _ in named}) == len(named)


@pytest.mark.slow
def test_what_each_rung_moves_is_current():
    assert tables.on_page("matmul-ladder", "moved") == tables.moved(), "run tools/make_kernel_tables.py"


@pytest.mark.slow
@each_architecture
def test_every_variant_of_a_product_fits_in_registers(capability):
    for name, (kernel, tile, options) in {**RUNGS, "fp16": HALVES}.items():
        dtype = np.dtype(np.float16 if name == "fp16" else np.float32)
        for flags, chosen in itertools.product(CHOICES, ({}, dict.fromkeys(options, True)) if options else ({},)):
            check(kernel(dtype, tile, *flags, **chosen), capability)


@pytest.mark.slow
@each_architecture
@pytest.mark.parametrize("tile", products.TILES, ids=lambda tile: f"{tile.m}x{tile.n}")
def test_every_variant_of_an_implicit_product_fits_in_registers(tile, capability):
    for vector_w, vector_y in CHOICES:
        if tile.fetches[0] % 4 and vector_w:
            continue
        for bias, relu in CHOICES:
            check(implicit_gemm_kernel(FLOAT32, tile, False, vector_w, vector_y, bias, relu), capability)
        check(implicit_gemm_kernel(FLOAT32, tile, True, vector_w, vector_y), capability)


@pytest.mark.slow
@each_architecture
@pytest.mark.parametrize("multiplied", ["tf32", "fp16"])
def test_every_variant_of_a_convolution_on_tensor_cores_fits_in_registers(multiplied, capability):
    dtype = np.dtype(np.float16 if multiplied == "fp16" else np.float32)
    for tile in products.MULTIPLICATIONS[multiplied].tiles:
        for (transposed, vector_w), (bias, relu) in itertools.product(CHOICES, CHOICES):
            if transposed and (bias or relu):
                continue  # a gradient has neither
            numbers = 16 if transposed and multiplied == "fp16" else 8 if multiplied == "fp16" else 4
            if vector_w and tile.m * tile.k % (tile.threads * numbers):
                continue  # threads do not share it
            check(tensor_core_kernel(dtype, tile, transposed, vector_w, bias, relu, multiplied), capability)


def parameters(kernel: Kernel) -> list[str]:
    """The types in the PTX's signature."""
    ptx = compiler.to_ptx(kernel, (8, 0))
    assert f".maxntid {kernel.threads}" in ptx
    entry = ptx[ptx.index(f".entry {kernel.name}(") :].partition(")")[0]
    return [line.split()[1] for line in entry.splitlines() if f"{kernel.name}_param_" in line]


def test_the_entry_takes_plain_pointers_and_int32s():
    kernel = direct.grad_input_kernel(FLOAT32, 64)
    assert kernel.pointers == 3
    assert parameters(kernel) == [*[".u64"] * 3, *[".u32"] * 17]


def test_parameters_that_are_neither_arrays_of_the_dtype_nor_int32_come_in_their_own_types():
    kernel = cross_entropy.totals_kernel(FLOAT32, 64)
    assert kernel.parameters == ("float32*", "float32*", "int64*", "int32", "int32", "int32", "int64")
    assert parameters(kernel) == [*[".u64"] * 3, *[".u32"] * 3, ".u64"]
    assert parameters(optimizer_steps.sgd_kernel(FLOAT32)).count(".f32") == 4


def test_the_table_of_offsets_is_a_pointer_to_int64():
    kernel = implicit_gemm_kernel(FLOAT32, products.TILES[0], False)
    assert parameters(kernel).count(".u64") == 5
    assert "ld.global.u64" in compiler.to_ptx(kernel, (8, 0))


@each_architecture
def test_the_compiler_leaves_room_for_the_blocks_that_shall_run_together(capability):
    rung = RUNGS["double-buffered"]
    everything = dict.fromkeys(rung.options, True)
    bound = rung.kernel(FLOAT32, rung.tile, False, True, **everything)
    free = replace(bound, min_blocks=1)
    assert ".minnctapersm 2" in compiler.to_ptx(bound, capability)
    together, alone = tables.built(bound, capability), tables.built(free, capability)
    assert together.registers <= 128 < alone.registers
    assert resident_blocks(together, bound.threads, capability) == 2
    assert resident_blocks(alone, free.threads, capability) == 1


def test_what_is_scarce_limits_the_blocks_that_run_together():
    def blocks(registers, shared, threads, capability=(8, 0)):
        return resident_blocks(compiler.Cubin(b"", registers, 0, 0, shared, 0), threads, capability)

    assert blocks(32, 0, 256) == 8  # threads
    assert blocks(32, 0, 32) == 32  # blocks
    assert blocks(128, 0, 256) == 2  # registers
    assert blocks(129, 0, 256) == 1  # given out by eight
    assert blocks(255, 0, 1024) == 0
    assert blocks(32, 40 * 1024, 128) == 4  # shared memory
    assert blocks(32, 40 * 1024, 128, (9, 0)) == 5
    assert occupancy(compiler.Cubin(b"", 128, 0, 0, 0, 0), 256, (8, 0)) == 0.25


def test_a_kernel_that_computes_in_float64_by_accident_is_noticed():
    def tenth(x, n):
        x[n] = x[n] * 0.1

    assert compiler.build(Kernel(tenth, FLOAT32, 1, 32), (8, 0)).double_instructions > 0


def test_ptx_that_the_assembler_refuses_is_shown_with_its_reason():
    with pytest.raises(RuntimeError, match=r"nvJitLink refuses the kernel: .*syntax error"):
        compiler.assemble(".version 8.0\n.target sm_80\n.address_size 64\n.visible .entry broken( {}", (8, 0))

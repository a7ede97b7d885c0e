"""Convolution kernels broken on purpose: each dropped barrier, swapped index and missing bounds check must be noticed.

Every mutation edits the source of one file, puts what it makes in the place of the original, and runs the plan that
uses it in the interpreter: a KernelError or a result outside of its bound is expected. The unedited source passes.
"""

import importlib.util
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import convolution_cases as convolutions
import convolution_mutants as mutants
import pytest
from convolution_cases import WAYS, Way, by_definition, implicit, within
from cuda_cases import ConvCase

from minipar.kernels.cuda import interpreter
from minipar.kernels.cuda.conv2d import (
    depthwise,
    direct,
    halo_tile,
    implicit_gemm,
    offsets,
    outer_product,
    pixel_lanes,
    products,
    tensor_cores,
    warp_weight_gradient,
    weight_gradient,
    windows,
    words,
)
from minipar.kernels.cuda.matmul.tile import Tile
from minipar.kernels.cuda.matmul.warp_product import WarpTile

# Taps fall outside on all four sides, some output pixels are never reached, and the last block has idle threads.
CASE = ConvCase("float32", 2, 3, 5, 2, (7, 6), (3, 2), (2, 1), (1, 1), (3, 2))
TILE = Tile(16, 8, 8, 4, 4)
# More channels and pixels than a thread's first groups.
WIDE = ConvCase("float32", 1, 6, 40, 1, (4, 5), (1, 1), (1, 1), (0, 0), (1, 1))
WIDE_TILE = Tile(64, 32, 4, 8, 8)
# A step goes on by several lines, and images.
NARROW = ConvCase("float32", 13, 1, 1, 1, (2, 3), (2, 2), (1, 1), (0, 0), (1, 1))

FILES = [
    direct, halo_tile, depthwise, offsets, words, windows, pixel_lanes, outer_product, implicit_gemm, weight_gradient,
    tensor_cores, warp_weight_gradient, products,
]  # fmt: skip
EDITS = {  # what is edited, and which of the three are computed then
    "direct forward": (direct, mutants.DIRECT_FORWARD, ("forward",)),
    "direct grad_input": (direct, mutants.DIRECT_GRAD_INPUT, ("grad_input",)),
    "direct grad_weight": (direct, mutants.DIRECT_GRAD_WEIGHT, ("grad_weight",)),
    "halo_tile": (halo_tile, mutants.HALO_TILE, ("forward",)),
    "depthwise forward": (depthwise, mutants.DEPTHWISE_FORWARD, ("forward",)),
    "depthwise grad_input": (depthwise, mutants.DEPTHWISE_GRAD_INPUT, ("grad_input",)),
    "depthwise grad_weight": (depthwise, mutants.DEPTHWISE_GRAD_WEIGHT, ("grad_weight",)),
    "implicit_gemm": (implicit_gemm, mutants.IMPLICIT_GEMM, ("forward", "grad_input")),
    "windows": (windows, mutants.WINDOWS, ("forward",)),
    "outer_product": (outer_product, mutants.OUTER_PRODUCT, ("forward",)),
    "offsets": (offsets, mutants.OFFSETS, ("forward", "grad_input")),
    "weight_gradient": (weight_gradient, mutants.WEIGHT_GRADIENT, ("grad_weight",)),
    "pixel_lanes": (pixel_lanes, mutants.PIXEL_LANES, ("grad_weight",)),
    "words": (words, mutants.WORDS, ("forward",)),
    "tensor_cores": (tensor_cores, mutants.TENSOR_CORES, ("forward", "grad_input")),
    "warp_weight_gradient": (warp_weight_gradient, mutants.WARP_WEIGHT_GRADIENT, ("grad_weight",)),
}
DIRECT = [(CASE, by_definition(64))]
HALO = [(CASE, WAYS["halo tile"])]
DEPTHWISE = [(CASE._replace(group_inputs=1, group_outputs=2, groups=3, stride=(2, 2)), WAYS["depthwise"])]
IMPLICIT = [(NARROW, implicit(TILE, 2)), (WIDE, implicit(WIDE_TILE, 2)), (CASE, implicit(TILE, 2))]
# More channels than a tile has rows, and more pixels than columns; two steps, and not whole ones.
MANY = ConvCase("float32", 3, 12, 36, 1, (4, 5), (1, 2), (1, 1), (0, 1), (1, 1))
IN_TF32, IN_HALVES = implicit(WarpTile(32, 16, 8, 32, 16), 2, "tf32"), implicit(WarpTile(32, 16, 16, 32, 8), 2, "fp16")
OF_WARPS = [(MANY, IN_TF32), (NARROW, IN_HALVES), (CASE, IN_HALVES)]
RUNS = {direct: DIRECT, halo_tile: HALO, depthwise: DEPTHWISE, tensor_cores: OF_WARPS}
# More columns than a table has entries.
RUNS[weight_gradient] = [(NARROW, implicit(Tile(8, 64, 4, 4, 8), 2)), *IMPLICIT]
RUNS[warp_weight_gradient] = [(NARROW, implicit(WarpTile(16, 64, 8, 16, 64), 2, "tf32")), *OF_WARPS]
RUNS |= {windows: [*IMPLICIT, *OF_WARPS], pixel_lanes: [*IMPLICIT, *OF_WARPS], words: OF_WARPS}


def runs_of(module: ModuleType) -> list[tuple[ConvCase, Way]]:
    return RUNS.get(module, IMPLICIT)


def passes(parts: tuple[str, ...], runs: list[tuple[ConvCase, Way]]) -> bool:
    """Are the results within their bounds?"""
    unwanted = dict.fromkeys({"forward", "grad_input", "grad_weight"} - set(parts))
    for case, way in runs:
        for computed, exact, bound in convolutions.checks(case, way._replace(**unwanted)):
            if not within(computed, exact, bound):
                return False
    return all(convolutions.spoils_only_its_own(way._replace(**unwanted)) for _, way in runs[-1:])


@pytest.fixture
def put_in(tmp_path, monkeypatch):
    """``put_in(module, text)``: the module is as if ``text`` were its source, everywhere in the package."""
    monkeypatch.setattr(products, "LEAST_STEPS", 1)

    def put(module: ModuleType, text: str) -> None:
        path = tmp_path / "mutant.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location(f"{module.__name__}_mutant", path)
        mutant = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(mutant)
        originals = {name: value for name, value in vars(module).items() if not name.startswith("__")}
        for file in FILES:
            for name, value in originals.items():
                if vars(file).get(name) is value:
                    monkeypatch.setattr(file, name, vars(mutant)[name])
        for multiplied, way in products.MULTIPLICATIONS.items():
            made = way._replace(product=anew(way.product), grad_weight=anew(way.grad_weight))
            monkeypatch.setitem(products.MULTIPLICATIONS, multiplied, made)
        forget()

    yield put
    forget()


def anew(factory: Callable[..., Any]) -> Callable[..., Any]:
    """The factory that has this one's name in ``products`` now, with the same arguments given."""
    if isinstance(factory, partial):
        return partial(anew(factory.func), **factory.keywords)
    return vars(products)[factory.__name__]


def forget() -> None:
    """Kernels and tables are made anew."""
    for file in FILES:
        for value in vars(file).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def edited(module: ModuleType, old: str, new: str, occurrence: int = 0) -> str:
    pieces = Path(module.__file__).read_text().split(old)
    assert 0 <= occurrence < len(pieces) - 1, f"{module.__name__} has {len(pieces) - 1} of {old!r}"
    return old.join(pieces[: occurrence + 1]) + new + old.join(pieces[occurrence + 1 :])


def in_kernel(edit: str, old: str, new: str) -> str:
    """Several kernels stand in one file: the place is looked for in the right one."""
    name = edit.replace("direct ", "").replace(" forward", "").replace(" ", "_")
    before, start, rest = Path(EDITS[edit][0].__file__).read_text().partition(f"    def conv2d_{name}(")
    assert old in rest, f"{name} has no {old!r}"
    return before + start + rest.replace(old, new, 1)


@pytest.mark.parametrize("edit", EDITS)
def test_the_files_as_they_are_pass(edit, put_in):
    module, _, parts = EDITS[edit]
    put_in(module, Path(module.__file__).read_text())
    assert passes(parts, runs_of(module))


@pytest.mark.parametrize(
    ("edit", "old", "new"), [(edit, *mutation) for edit, (_, mutations, _) in EDITS.items() for mutation in mutations]
)
def test_a_broken_kernel_is_noticed(edit, old, new, put_in):
    module, _, parts = EDITS[edit]
    put_in(module, in_kernel(edit, old, new) if " " in edit else edited(module, old, new))
    try:
        noticed = not passes(parts, runs_of(module))
    except (interpreter.KernelError, ValueError, ZeroDivisionError):  # ValueError: the table does not come out even
        noticed = True
    assert noticed


BARRIERS = {
    "implicit_gemm": 2, "weight_gradient": 2, "direct grad_weight": 1, "halo_tile": 2, "depthwise grad_weight": 2,
    "tensor_cores": 2, "warp_weight_gradient": 2,
}  # fmt: skip


@pytest.mark.parametrize(("edit", "barrier"), [(edit, i) for edit, count in BARRIERS.items() for i in range(count)])
def test_a_dropped_barrier_is_found_as_such(edit, barrier, put_in):
    module, _, parts = EDITS[edit]
    put_in(module, edited(module, "cuda.syncthreads()", "pass", barrier))
    with pytest.raises(interpreter.KernelError, match=r"data race|uninitialised read"):
        passes(parts, runs_of(module))


def test_no_barrier_is_left_out_above():
    counts = {edit: Path(module.__file__).read_text().count("syncthreads()") for edit, (module, *_) in EDITS.items()}
    assert {edit: count for edit, count in counts.items() if count and edit in BARRIERS} == BARRIERS
    assert sum(Path(file.__file__).read_text().count("syncthreads()") for file in FILES) == sum(BARRIERS.values())


def test_a_barrier_that_only_some_threads_reach_is_found(put_in):
    put_in(direct, edited(direct, "partial[k, thread] += ", "cuda.syncthreads(); partial[k, thread] += "))
    with pytest.raises(interpreter.KernelError, match="divergent barrier"):
        passes(("grad_weight",), DIRECT)


def test_two_tiles_in_one_array_are_a_race(put_in):
    made = "x_tile = cuda.shared.array(both_x, float32, alignment=16)"
    put_in(implicit_gemm, edited(implicit_gemm, made, "x_tile = w_tile"))
    with pytest.raises(interpreter.KernelError, match="data race"):
        passes(("forward",), IMPLICIT)

"""Kernels broken on purpose, by every edit that ``mutants`` knows: each must be noticed, or be explained here.

A mutant runs through its host function in the simulator, over cases that are small but ragged everywhere. It is noticed
by a KernelError or by a wrong result; a dropped barrier only by a KernelError. What the kernels as they are must do is
expected here too, so a case that notices everything because it always fails would itself be noticed.
"""

import ast
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
import pytest
from mutants import Mutant, load, maker, mutants

import minipar.kernels.cuda as kernels
from minipar.kernels.cuda import interpreter
from minipar.kernels.cuda.matmul import (
    RUNGS,
    Rung,
    coalesced,
    double_buffered,
    fetching,
    naive,
    plan_linear,
    plan_matmul,
    register_tile,
    shared_tile,
    tensor_cores,
    warp_product,
)
from minipar.kernels.cuda.matmul.tile import Tile
from minipar.kernels.cuda.matmul.warp_product import WarpTile
from minipar.kernels.cuda.plan import Plan
from minipar.kernels.reference.linear import linear_forward

Expected = tuple[Plan, np.ndarray]
Plans = Callable[[ModuleType], Iterator[Expected]]


def products(rung: str, tile: Tile | WarpTile, layers: list[tuple]) -> Plans:
    """Products on a rung, each with its expected result; and a linear layer where the rung has its bias and ReLU."""
    known = RUNGS[rung]
    options = getattr(known.kernel, "keywords", {})  # which numbers a tensor core multiplies
    factory = getattr(known.kernel, "func", known.kernel).__name__

    def plans(module: ModuleType) -> Iterator[Expected]:
        made = Rung(partial(getattr(module, factory), **options), tile, known.options)
        for shapes, layout in layers:
            a, b = (whole(shape, layout, seed) for seed, shape in enumerate(shapes))
            yield plan_matmul(a, b, made), a.astype(np.float64) @ b
        if known.options:
            x, weight, bias = (whole(shape, "contiguous", 3) for shape in ((6, 7), (9, 7), (9,)))
            yield plan_linear(x, weight, bias, True, made), linear_forward(x, weight, bias, True)

    return plans


# Ragged against every tile, more than one tile in every direction; read along lines and across them, by ones and by
# fours.
PRODUCTS = [
    (((2, 9, 7), (2, 7, 18)), "contiguous"),
    (((2, 9, 7), (2, 7, 18)), "transposed"),
]
BY_FOURS = [(((12, 12), (12, 20)), "contiguous"), (((12, 12), (12, 20)), "transposed")]
OF_WARPS = [(((34, 20), (20, 18)), "contiguous"), (((34, 20), (20, 18)), "transposed")]


def whole(shape: tuple[int, ...], layout: str, seed: int) -> np.ndarray:
    """Small whole numbers, which tensor cores multiply exactly."""
    x = np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32)
    return x if layout == "contiguous" else np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2)


class Subject(NamedTuple):
    """A file whose ``factory`` makes a kernel, or device functions for one; the files that use it, and their plans."""

    file: ModuleType
    factory: str
    uses: list[tuple[ModuleType, Plans]]


IN_FOURS = (double_buffered, products("double-buffered", Tile(8, 16, 4, 4, 8), PRODUCTS + BY_FOURS))
IN_TF32 = (tensor_cores, products("tf32", WarpTile(32, 16, 16, 32, 8), OF_WARPS))
IN_BF16 = (tensor_cores, products("bf16", WarpTile(32, 16, 16, 16, 16), OF_WARPS))
SUBJECTS = [
    Subject(naive, "naive_kernel", [(naive, products("naive", Tile(4, 4), PRODUCTS))]),
    Subject(coalesced, "coalesced_kernel", [(coalesced, products("coalesced", Tile(4, 4), PRODUCTS))]),
    Subject(shared_tile, "shared_tile_kernel", [(shared_tile, products("shared tile", Tile(4, 4, 4), PRODUCTS))]),
    Subject(
        register_tile,
        "register_tile_kernel",
        [(register_tile, products("register tile", Tile(8, 4, 4, 4, 2), PRODUCTS))],
    ),
    Subject(double_buffered, "double_buffered_kernel", [IN_FOURS]),
    Subject(tensor_cores, "tensor_core_kernel", [IN_TF32, IN_BF16]),
    Subject(warp_product, "warp_product", [IN_TF32, IN_BF16]),
    Subject(fetching, "mover", [IN_FOURS, IN_TF32]),
]

# What cannot be noticed, since the results are the same: (factory, the text that goes) -> why.
PAST_THE_END = (
    "a tile past the end of K is fetched as zeros, into the half that is not multiplied any more: only slower"
)
ZERO = "what is 0 already becomes 0"
EXPLAINED = {
    ("double_buffered_kernel", "sums[i, j] < float32(0)"): ZERO,
    ("tensor_core_kernel", "total < float32(0)"): ZERO,
    ("double_buffered_kernel", "next_k < K"): PAST_THE_END,
    ("tensor_core_kernel", "next_k < K"): PAST_THE_END,
}

OF_THE_ISSUE = ("no barrier", "no check", "swapped")
FINER = ("off by one", "no sum", "once more")


def noticed(subject: Subject, mutant: Mutant, path: Path) -> bool:
    edited = load(subject.file, mutant.source, path)
    for user, plans in subject.uses:
        module = (
            edited
            if user is subject.file
            else using(user, edited, subject.factory, path.with_stem(f"user_{path.stem}"))
        )
        try:
            wrong = not all(right(*expected) for expected in plans(module))
        except interpreter.KernelError:
            return True
        if wrong and mutant.kind != "no barrier":
            return True
    return False


def using(user: ModuleType, edited: ModuleType, factory: str, path: Path) -> ModuleType:
    """A module that calls the edited factory in place of the one that it imported."""
    module = load(user, Path(user.__file__).read_text(), path)
    setattr(module, factory, getattr(edited, factory))
    return module


def right(plan: Plan, expected: np.ndarray) -> bool:
    plan.result.fill(np.nan)
    return np.allclose(interpreter.run(plan), expected, atol=1e-4)


def check_mutants(subject: Subject, kinds: tuple[str, ...], folder: Path) -> None:
    for module, plans in subject.uses:
        assert all(right(*expected) for expected in plans(module))
    chosen = [mutant for mutant in mutants(subject.file, subject.factory) if mutant.kind in kinds]
    survivors = [
        f"line {mutant.line}, {mutant.kind}: {mutant.old} -> {mutant.new}"
        for i, mutant in enumerate(chosen)
        if not noticed(subject, mutant, folder / f"mutant_{i}.py") and (subject.factory, mutant.old) not in EXPLAINED
    ]
    assert not survivors, "these need a case that notices them, or an entry in EXPLAINED"


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.factory)
def test_no_kernel_is_right_without_a_barrier_or_a_check_or_with_swapped_indices(subject, tmp_path):
    check_mutants(subject, OF_THE_ISSUE, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.factory)
def test_no_kernel_is_right_with_a_bound_off_by_one_or_a_sum_left_out(subject, tmp_path):
    check_mutants(subject, FINER, tmp_path)


def test_every_file_with_a_kernel_is_broken_in_a_test_of_mutations():
    tested = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*mutations.py"))
    files = [path for path in Path(kernels.__file__).parent.rglob("*.py") if "-> Kernel:" in path.read_text()]
    assert len(files) > 6
    assert [file.stem for file in files if file.stem not in tested] == []


def test_every_barrier_and_every_condition_has_its_mutants():
    """Counted in the text, so that an edit that ``mutants`` does not see is missed here."""
    for subject in SUBJECTS:
        source = ast.unparse(maker(subject.file, subject.factory))
        kinds = Counter(mutant.kind for mutant in mutants(subject.file, subject.factory))
        assert kinds["no barrier"] == source.count("cuda.syncthreads()")
        assert kinds["no check"] >= source.count("if row < M")
        assert kinds["swapped"]


def test_two_tiles_in_one_array_are_a_race(tmp_path):
    source = Path(register_tile.__file__).read_text()
    edited = source.replace("b_tile = cuda.shared.array(b_shape, number)", "b_tile = a_tile")
    assert edited != source
    ((_, plans),) = next(subject.uses for subject in SUBJECTS if subject.file is register_tile)
    with pytest.raises(interpreter.KernelError, match="data race"):
        interpreter.run(next(plans(load(register_tile, edited, tmp_path / "mutant.py")))[0])


def test_a_barrier_that_only_some_threads_reach_is_found(tmp_path):
    source = Path(shared_tile.__file__).read_text()
    edited = source.replace(
        "a_tile[my_m, my_n] = a", "if row < M: cuda.syncthreads()\n            a_tile[my_m, my_n] = a"
    )
    assert edited != source
    ((_, plans),) = next(subject.uses for subject in SUBJECTS if subject.file is shared_tile)
    with pytest.raises(interpreter.KernelError, match="divergent barrier"):
        assert not [right(*expected) for expected in plans(load(shared_tile, edited, tmp_path / "mutant.py"))]

"""What the tests of the convolution kernels share: cases, the kernels in small blocks, and error bounds.

A sum of n products in floating point, added one after another, is off by at most n u times the sum of the products'
sizes, u being the rounding of one operation (Higham 2002, *Accuracy and Stability of Numerical Algorithms*, 3.1); a
bias, and the parts of a sum, are a few additions more. What tensor cores multiply in TF32 is compared with the exact
answer for rounded operands, whose products float32 holds exactly; float16 results are rounded once more.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import cuda_cases as cases
import numpy as np
from cuda_cases import ConvCase

from minipar.kernels.cuda import interpreter, strips
from minipar.kernels.cuda.conv2d import depthwise, direct, halo_tile, pointwise, products
from minipar.kernels.cuda.conv2d.geometry import Geometry, geometry_of
from minipar.kernels.cuda.matmul.tile import Tile
from minipar.kernels.cuda.matmul.warp_product import WarpTile
from minipar.kernels.cuda.plan import Plan

ROUNDING = {"float16": 2.0**-24, "float32": 2.0**-24, "float64": 2.0**-53}  # of sums

CHOICES = {
    "dtype": ("float32",),
    "images": (2, 1),
    "group_inputs": (3, 1, 5),
    "group_outputs": (5, 1, 4),
    "groups": (1, 2),
    "size": ((5, 4), (4, 7), (1, 9)),
    "kernel": ((3, 3), (1, 1), (2, 3), (1, 4)),
    "stride": ((1, 1), (2, 1), (2, 2), (3, 2)),
    "padding": ((1, 1), (0, 0), (2, 1)),
    "dilation": ((1, 1), (2, 1), (1, 3)),
}
# By hand: taps that reach nothing, phases without taps, a stride wider than the window, more padding than window.
ODD = [
    ConvCase("float32", 1, 2, 3, 1, (7, 7), (1, 1), (3, 3), (0, 0), (1, 1)),
    ConvCase("float32", 1, 4, 4, 1, (6, 6), (3, 3), (1, 1), (1, 1), (1, 1)),  # moved by fours
    ConvCase("float32", 1, 8, 8, 1, (4, 5), (2, 2), (1, 2), (0, 0), (1, 1)),  # and by eights
    ConvCase("float32", 1, 4, 18, 1, (4, 4), (1, 2), (1, 1), (0, 0), (1, 1)),  # more channels than a tile has rows
    ConvCase("float32", 2, 4, 4, 2, (4, 8), (3, 3), (2, 2), (1, 1), (1, 1)),
    ConvCase("float32", 1, 3, 2, 1, (2, 2), (3, 3), (1, 1), (4, 5), (1, 1)),
    ConvCase("float32", 1, 1, 1, 1, (1, 1), (1, 1), (1, 1), (0, 0), (1, 1)),
    ConvCase("float32", 2, 3, 5, 1, (3, 2), (1, 1), (1, 1), (0, 0), (1, 1)),
    ConvCase("float32", 2, 1, 2, 3, (4, 5), (3, 2), (2, 1), (1, 1), (1, 2)),
    ConvCase("float32", 2, 1, 1, 5, (6, 6), (3, 3), (2, 2), (1, 1), (2, 2)),
    ConvCase("float32", 1, 2, 3, 1, (1, 40), (1, 5), (1, 3), (0, 2), (1, 4)),
    ConvCase("float32", 1, 1, 2, 2, (5, 6), (5, 7), (1, 1), (4, 3), (2, 1)),  # windows that depthwise cuts into pieces:
    ConvCase("float32", 1, 1, 1, 2, (3, 20), (2, 17), (1, 2), (1, 1), (1, 1)),  # along rows, and along columns
]
IN_PIECES = ODD[-2:]


def fitting(case: ConvCase) -> bool:
    """Is there an output at all?"""
    spans = [d * (k - 1) + 1 for d, k in zip(case.dilation, case.kernel)]
    return all(span <= size + 2 * pad for span, size, pad in zip(spans, case.size, case.padding))


CASES = [case for case in (ConvCase(*row) for row in cases.pairwise(CHOICES)) if fitting(case)] + ODD


def name_of(case: object) -> str:
    return "-".join(map(str, case)).replace(" ", "") if isinstance(case, ConvCase) else str(case)


class Way(NamedTuple):
    """One way to compute each of the three: operands and geometry → plans, the last one with the result."""

    forward: Callable[..., Plan] | None
    grad_input: Callable[..., Plan] | None
    grad_weight: Callable[..., np.ndarray] | None
    takes: Callable[[Geometry], bool] = lambda geometry: True
    multiplied: str = "float32"

    def typed(self, case: ConvCase) -> ConvCase:
        """The case in the dtype that this way takes."""
        return case._replace(dtype="float16") if self.multiplied == "fp16" else case


def summed(plan: Plan) -> np.ndarray:
    """The parts of a weight's gradient, computed and added up; those of float16 in float32, which is rounded then."""
    (total,) = interpreter.run(strips.plan_sum_of_strips(run(plan)[:, None], None, threads=32))
    return total.astype(plan.kernel.dtype)


def run(plan: Plan) -> np.ndarray:
    plan.result.fill(np.nan)  # what a kernel does not write must show
    return interpreter.run(plan)


def implicit(tile: Tile | WarpTile, splits: int = 3, multiplied: str = "float32") -> Way:
    return Way(
        lambda x, w, bias, geometry, relu=False: products.plan_forward(
            x, w, bias, geometry, relu, tile, multiplied=multiplied
        ),
        lambda g, w, geometry: products.plan_grad_input(g, w, geometry, tile, multiplied=multiplied),
        lambda g, x, geometry: summed(products.plan_grad_weight(g, x, geometry, tile, splits, multiplied=multiplied)),
        multiplied=multiplied,
    )


def by_definition(threads: int) -> Way:
    return Way(
        lambda x, w, bias, geometry, relu=False: direct.plan_direct_forward(x, w, bias, geometry, relu, threads),
        lambda g, w, geometry: direct.plan_direct_grad_input(g, w, geometry, threads),
        lambda g, x, geometry: run(direct.plan_direct_grad_weight(g, x, geometry, threads)),
    )


WAYS = {
    "direct": by_definition(16),
    "halo tile": Way(
        lambda x, w, bias, geometry, relu=False: halo_tile.plan_halo_forward(x, w, bias, geometry, relu, 4), None, None
    ),
    "halo tile, backwards": Way(
        None,
        lambda g, w, geometry: halo_tile.plan_halo_grad_input(g, w, geometry, 4),
        None,
        lambda geometry: geometry.stride == (1, 1),
    ),
    "depthwise": Way(
        lambda x, w, bias, geometry, relu=False: depthwise.plan_depthwise_forward(x, w, bias, geometry, relu, 32),
        lambda g, w, geometry: depthwise.plan_depthwise_grad_input(g, w, geometry, 32),
        lambda g, x, geometry: summed(depthwise.plan_depthwise_grad_weight(g, x, geometry, 8, 8)),
        lambda geometry: geometry.D == 1,
    ),
    "pointwise": Way(
        None,
        lambda g, w, geometry: pointwise.plan_pointwise_grad_input(g, w, geometry),
        None,
        pointwise.is_pointwise,
    ),
    "implicit GEMM": implicit(Tile(16, 8, 8, 4, 4)),
    "implicit GEMM, in one part": implicit(Tile(16, 16, 4, 4, 4), 1),
    "TF32": implicit(WarpTile(32, 16, 16, 32, 16), 2, "tf32"),
    "float16": implicit(WarpTile(32, 16, 32, 32, 16), 2, "fp16"),
}


def geometry_for(case: ConvCase) -> Geometry:
    x, w, *_ = case.operands()
    return geometry_of(x.shape, w.shape, *case.geometry)


def checks(case: ConvCase, way: Way) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """(computed, in float64, the most it may be off) for each of the three that ``way`` knows."""
    case = way.typed(case)
    x, w, bias, g = case.operands()
    read_x, read_w, read_g = (cases.as_multiplied(array, way.multiplied) for array in (x, w, g))
    geometry = geometry_for(case)
    abs_x, abs_w, abs_bias, abs_g = map(np.abs, (read_x, read_w, bias, read_g))
    if way.forward:
        exact = cases.expected_forward(case, read_x, read_w, bias)
        sizes = cases.expected_forward(case, abs_x, abs_w, abs_bias)
        terms = geometry.D * geometry.R * geometry.S + 2
        yield run(way.forward(x, w, bias, geometry)), exact, most_off(case, exact, sizes, terms)
    if way.grad_input:
        exact = cases.expected_grad_input(case, read_g, read_w, x.shape)
        sizes = cases.expected_grad_input(case, abs_g, abs_w, x.shape)
        terms = geometry.group_outputs * geometry.R * geometry.S + 1
        yield run(way.grad_input(g, w, geometry)), exact, most_off(case, exact, sizes, terms)
    if way.grad_weight:
        exact = cases.expected_grad_weight(case, read_g, read_x, w.shape)
        sizes = cases.expected_grad_weight(case, abs_g, abs_x, w.shape)
        terms = geometry.N * geometry.P * geometry.Q + 4
        yield way.grad_weight(g, x, geometry), exact, most_off(case, exact, sizes, terms)


def most_off(case: ConvCase, exact: np.ndarray, sizes: np.ndarray, terms: int) -> np.ndarray:
    """The bound for a sum of so many products, of these sizes together."""
    bound = terms * ROUNDING[case.dtype] * sizes
    if case.dtype == "float16":  # below the smallest normal number, the unit is that of subnormal ones
        return np.maximum(2.0**-11 * np.abs(exact), 2.0**-25) + 1.001 * bound
    return bound * (1 if case.dtype == "float32" else 2)  # float64's reference rounds as much itself


def within(computed: np.ndarray, exact: np.ndarray, bound: np.ndarray) -> bool:
    return computed.shape == exact.shape and bool((np.abs(computed - exact) <= bound).all())


def spoils_only_its_own(way: Way) -> bool:
    """Does an infinity in the first pixel show in those results, and only those, that it is a part of?

    What lies outside of an image or behind the last pixel is skipped or counts as zero, and zero times infinity is NaN.
    """
    case = ConvCase("float32", 2, 1, 1, 1, (3, 4), (2, 2), (1, 1), (0, 0), (1, 1))  # 4 taps, 12 pixels: no whole tiles
    case = way.typed(case)
    x, w, bias, g = (np.abs(array) for array in case.operands())
    spoilt_x, spoilt_g, geometry = x.copy(), g.copy(), geometry_for(case)
    if not way.takes(geometry):
        return True
    spoilt_x[0, 0, 0, 0] = spoilt_g[0, 0, 0, 0] = np.inf
    pairs = []
    if way.forward:
        expected = cases.expected_forward(case, spoilt_x, w, bias)
        pairs.append((run(way.forward(spoilt_x, w, bias, geometry)), expected))
    if way.grad_input:
        expected = cases.expected_grad_input(case, spoilt_g, w, x.shape)
        pairs.append((run(way.grad_input(spoilt_g, w, geometry)), expected))
    if way.grad_weight:
        for gradient, image in ((spoilt_g, x), (g, spoilt_x)):
            expected = cases.expected_grad_weight(case, gradient, image, w.shape)
            pairs.append((way.grad_weight(gradient, image, geometry), expected))
    near = 1e-4 if way.multiplied == "float32" else 2e-3
    return all(np.allclose(computed, expected, rtol=near) for computed, expected in pairs)

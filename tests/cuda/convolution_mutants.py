"""What is broken in the convolution kernels, file by file, and the runs that must notice."""

from functools import partial

import convolution_cases as convolutions
from breaking import Subject
from convolution_cases import WAYS, Way, by_definition, implicit, within
from cuda_cases import ConvCase
from mutants import barriers, by_hand

from minipar.kernels.cuda.conv2d import (
    depthwise,
    direct,
    halo_tile,
    implicit_gemm,
    offsets,
    pixel_lanes,
    tensor_cores,
    warp_weight_gradient,
    weight_gradient,
    windows,
    words,
)
from minipar.kernels.cuda.matmul import outer_product
from minipar.kernels.cuda.matmul.tile import Tile
from minipar.kernels.cuda.matmul.warp_product import WarpTile

# (what stands in the source, what the mutation makes of it); the first place counts
DIRECT_FORWARD = [
    ("if n >= N:", "if n > N:"),
    ("if 0 <= h < H and 0 <= v < W:", "if h < H and 0 <= v < W:"),
    ("if 0 <= h < H and 0 <= v < W:", "if 0 <= h and 0 <= v < W:"),
    ("if 0 <= h < H and 0 <= v < W:", "if 0 <= h < H and v < W:"),
    ("if 0 <= h < H and 0 <= v < W:", "if 0 <= h < H and 0 <= v:"),
    ("if first + k < group_o:", "if first + k <= group_o:"),
    ("min(first + k, group_o - 1)", "first + k"),
    ("q = int32(i % uint32(Q))", "q = int32(i % uint32(P))"),
    ("group * D + c", "c"),
    ("p * stride_h - pad_h", "p * stride_w - pad_h"),
    ("s * dil_w", "s * dil_h"),
    ("* R + r) * S + s", "* S + s) * R + r"),
    ("bias[o] + ", ""),
    ("sums[k] = number(0)", "pass"),
]
DIRECT_GRAD_INPUT = [
    ("if n >= N:", "if n > N:"),
    ("p * stride_h == up and ", ""),
    ("0 <= p < P", "p < P"),
    ("0 <= p < P", "0 <= p"),
    ("0 <= q < Q", "q < Q"),
    ("0 <= q < Q", "0 <= q"),
    ("h + pad_h - r", "h - pad_h + r"),
    ("if first + k < D:", "if first + k <= D:"),
    ("min(first + k, D - 1)", "first + k"),
    ("group * group_o + j", "j"),
    ("(o * D + c) * R", "(c * D + o) * R"),
]
DIRECT_GRAD_WEIGHT = [
    ("range(thread, N * P * Q, threads)", "range(thread, N * P * Q + 1, threads)"),
    ("range(thread, N * P * Q, threads)", "range(0, N * P * Q, threads)"),
    ("if 0 <= h < H and 0 <= v < W:", "if h < H and 0 <= v < W:"),
    ("if 0 <= h < H and 0 <= v < W:", "if 0 <= h < H and 0 <= v:"),
    ("partial[k, thread + half]", "partial[k, thread + half + 1]"),
    ("if thread < half:", "if thread <= half:"),
    ("while half > 0:", "while half > 1:"),
    ("if thread == 0:", "if thread <= 1:"),
    ("s = int32(i % S)", "s = int32(i % R)"),
    ("if first + k < group_o:", "if first + k <= group_o:"),
]
IMPLICIT_GEMM = [
    ("group * M * K", "0"),
    ("sums[i, j] = float32(0)", "pass"),
    ("int32(M if transposed else K)", "int32(K if transposed else M)"),
    ("int32(entries + next_k)", "entries"),
    ("range(0, K, tile_k)", "range(0, K - tile_k, tile_k)"),
    ("half * w_size + k * tile_m", "k * tile_m"),
    ("half * x_size + k * tile_n", "k * tile_n"),
    ("half = int32(1 - half)", "pass"),
    ("if m < M:", "if m <= M:"),
    ("group * M + m", "m"),
    ("i // 4 * next_rows", "i // 4"),
    ("m * P * Q", "m * H * W"),
    ("if place >= 0:\n                                y", "if place >= -1:\n                                y"),
]
WINDOWS = [
    ("place >> 48", "place >> 49"),
    ("place >> 32 & 0xFFFF", "place >> 32"),
    ("(h < uint32(H)) & (v < uint32(W))", "(h < uint32(H))"),
    ("(h < uint32(H)) & (v < uint32(W))", "(v < uint32(W))"),
    ("value if inside else number(0)", "value"),
    ("base + int32(uint32(place))", "base"),
    ("first + i * lines * numbers", "first"),
    ("* numbers + u]", "* numbers]"),
    ("thread // pixels * numbers", "thread // pixels"),
    ("* pitch + thread % pixels", "* pitch"),
]
OUTER_PRODUCT = [
    ("a_at + g * next_rows", "a_at"),
    ("b_at + g * next_columns", "b_at"),
    ("a_column[i] * b_row[j]", "a_column[j] * b_row[i]"),
    ("+= a_column", "= a_column"),
]
OFFSETS = [
    ("OUTSIDE = 0x7FFF << 48", "OUTSIDE = 0"),
    ("tap * geometry.dilation[i] for", "tap for"),
    ("-geometry.padding[i]", "geometry.padding[i]"),
    ("(first + padding - tap * dilation) % stride == 0", "True"),
    ("place - shift for", "place for"),
    ("begin += padded.size", "begin += K"),
    ("weights += K * weights_of_k", "pass"),
    ("(c * height + down)", "(c * width + down)"),
    (".transpose(0, 1, 3, 4, 2)", ".transpose(0, 1, 4, 3, 2)"),
    ("order[begin : begin + part.size]", "order[: part.size]"),
    ("places[:, :, rows.taps]", "places[:, :, columns.taps]"),
    ("exists = pixel < N * rows * columns", "exists = pixel < N * rows * columns - 1"),
    ("exists = pixel < N * rows * columns", "exists = pixel <= N * rows * columns"),
    ("number // uint32(columns)", "number // uint32(rows)"),
    ("p * move_h", "p"),
    ("q * move_w", "q * move_h"),
    ("p * step_h", "p"),
    ("(n * groups + group) * D * H * W", "(n * groups + group) * D * W * W"),
    ("(n * groups + group) * M * P * Q", "n * M * P * Q"),
    ("else int32(-1)", "else int32(0)"),
]
PIXEL_LANES = [
    ("present = inside & (m < M)", "present = m < M"),
    ("present = inside & (m < M)", "present = inside"),
    ("inside = (h < uint32(H)) & (v < uint32(W))", "inside = h < uint32(H)"),
    ("inside = (h < uint32(H)) & (v < uint32(W))", "inside = v < uint32(W)"),
    ("p + step_p + (1 if carry else 0)", "p + step_p"),
    ("n + step_n + (1 if carry else 0)", "n + step_n"),
    ("q - Q if carry else q", "q"),
    ("p - P if carry else p", "p"),
    ("held[i * numbers + u] = value if present", "held[i] = value if present"),
    ("held[i * numbers + u] = value if inside", "held[i] = value if inside"),
    ("int32(line + i * lines)", "int32(i * lines)"),
    (" ^ turned_by", ""),
]
WORDS = [
    ("held[2 * i], held[2 * i + 1]", "held[2 * i + 1], held[2 * i]"),  # in one matrix, but not in the other
    ("held[2 * i], held[2 * i + 1]", "held[i], held[i + 1]"),
    ("to_tf32(held[i])", "held[i]"),
]
WEIGHT_GRADIENT = [
    ("if first_j + j < J else int64(OUTSIDE)", "if True else int64(OUTSIDE)"),
    ("min(part * split + split, N * P * Q)", "N * P * Q"),
    ("min(part * split + split, N * P * Q)", "part * split + split"),
    ("tile_k % Q)", "tile_k % P)"),
    ("tile_k // Q % P", "tile_k // Q"),
    ("tile_k // (P * Q)", "0"),
    ("inside = pixel < end", "inside = pixel <= end"),
    ("p * stride_h - pad_h if", "p * stride_w - pad_h if"),
    ("q * stride_w - pad_w", "q * stride_w + pad_w"),
    ("if step > 0:", "if step > 1:"),
    ("half = int32(1 - half)", "pass"),
    ("sums[i, j] = float32(0)", "pass"),
    ("if column < J:", "if column <= J:"),
    ("(part * groups + group) * M", "(part + group) * M"),
    ("i // 4 * next_rows", "i // 4"),
    ("j // 4 * next_columns", "j // 4"),
]

TENSOR_CORES = [
    ("group * M * K", "0"),
    ("sums[i, j, r] = float32(0)", "pass"),
    ("int32(M if transposed else K)", "int32(K if transposed else M)"),
    ("int32(entries + next_k)", "entries"),
    ("range(0, K, tile_k)", "range(0, K - tile_k, tile_k)"),
    ("half * w_size + t", "t"),
    ("half * x_size + t", "t"),
    ("t * w_pitch + my_m", "g * w_pitch + my_m"),
    ("my_n + g)", "my_n)"),
    ("half = int32(1 - half)", "pass"),
    ("if m < M:", "if m <= M:"),
    ("int32(group * M + m)]) if bias", "m]) if bias"),
    ("16 * i + r // 2 * 8", "16 * i + r % 2 * 8"),
    ("2 * t + r % 2", "2 * t + r // 2"),
    ("m * P * Q", "m * H * W"),
    ("if place >= 0:", "if place >= -1:"),
    ("total += shift", "pass"),
    ("first_pixel + thread % tile_n", "first_pixel"),
]
WARP_WEIGHT_GRADIENT = [
    ("if first_j + j < J else int64(OUTSIDE)", "if True else int64(OUTSIDE)"),
    ("min(part * split + split, N * P * Q)", "N * P * Q"),
    ("min(part * split + split, N * P * Q)", "part * split + split"),
    ("depth % Q)", "depth % P)"),
    ("depth // Q % P", "depth // Q"),
    ("depth // (P * Q)", "0"),
    ("inside = pixel < end", "inside = pixel <= end"),
    ("pixel + depth", "pixel + tile_k"),
    ("p * stride_h - pad_h if", "p * stride_w - pad_h if"),
    ("q * stride_w - pad_w", "q * stride_w + pad_w"),
    ("if step > 0:", "if step > 1:"),
    ("half = int32(1 - half)", "pass"),
    ("sums[i, j, r] = float32(0)", "pass"),
    ("if m < M and to < J:", "if m < M and to <= J:"),
    ("if m < M and to < J:", "if to < J:"),
    ("(part * groups + group) * M", "(part + group) * M"),
    ("16 * i + r // 2 * 8", "16 * i"),
    ("8 * j + 2 * t + r % 2", "2 * t + r % 2"),
    ("half * g_size + t", "t"),
    ("lane * x_pitch", "lane"),
]

HALO_TILE = [
    ("if 0 <= h < H and 0 <= v < W:", "if h < H and 0 <= v < W:"),
    ("if 0 <= h < H and 0 <= v < W:", "if 0 <= h and 0 <= v < W:"),
    ("if 0 <= h < H and 0 <= v < W:", "if 0 <= h < H and v < W:"),
    ("if 0 <= h < H and 0 <= v < W:", "if 0 <= h < H and 0 <= v:"),
    ("if o < O:", "if o <= O:"),
    ("range(thread, inputs, threads)", "range(thread, inputs - 1, threads)"),
    ("range(thread, weights, threads)", "range(thread, window, threads)"),
    ("(side - 1) * step", "side - 1"),
    ("first_q * stride_w", "first_q * stride_h"),
    ("my_p * stride_h", "my_p"),
    ("s * dil_w", "s * dil_h"),
    ("(image * D + c)", "(image * D)"),
    ("(group * O + o) * D", "o * D"),
    ("if p < P and q < Q:", "if p < P:"),
    ("if p < P and q < Q:", "if q < Q:"),
    ("sums[k] = number(0)", "pass"),
    ("image % groups", "0"),
]
HALO_BACKWARDS = [
    ("[..., ::-1, ::-1]", "[..., ::-1]"),
    (".swapaxes(1, 2)", ".swapaxes(0, 0)"),
    ("- 1 - padding", "- 1 + padding"),
    ("O // groups, R, S, H, W", "O // groups, R, S, P, Q"),
]
DEPTHWISE_FORWARD = [
    ("if i >= count:", "if i > count:"),
    ("uint32(C * multiple)", "uint32(C)"),
    ("uint32(plane) // uint32(multiple)", "plane"),
    ("inside = (uint32(h) < uint32(H)) & (uint32(v) < uint32(W))", "inside = uint32(h) < uint32(H)"),
    ("inside = (uint32(h) < uint32(H)) & (uint32(v) < uint32(W))", "inside = uint32(v) < uint32(W)"),
    ("r * dil_h", "r"),
    ("bias_of[o]", "bias_of[0]"),
]
DEPTHWISE_GRAD_INPUT = [
    ("(p * stride_h == up) & ", ""),
    ("& (q * stride_w == left)", ""),
    ("& (uint32(p) < uint32(P))", ""),
    ("& (uint32(q) < uint32(Q))", ""),
    ("plane * multiple + j", "plane * multiple"),
    ("c * multiple + j", "c * multiple"),
    ("h + pad_h - r", "h - pad_h + r"),
]
DEPTHWISE_GRAD_WEIGHT = [
    ("min(first + share, N * P * Q)", "N * P * Q"),
    ("min(first + share, N * P * Q)", "first + share"),
    ("range(first + thread,", "range(first,"),
    ("uint32(o) // uint32(multiple)", "o"),
    ("inside = (uint32(h) < uint32(H)) & (uint32(v) < uint32(W))", "inside = uint32(h) < uint32(H)"),
    ("partial[thread + half]", "partial[thread]"),
    ("while half > 0:", "while half > 1:"),
    ("int32(of) * R + r", "int32(of) * R"),
    ("and r < R", ""),
    ("and s < S", ""),
    ("(first_r + r) * dil_h", "r * dil_h"),
    ("(first_s + s) * dil_w", "s * dil_w"),
    ("block % uint32(across) * columns", "0"),
]

# Taps fall outside on all four sides, some output pixels are never reached, and the last block has idle threads.
CASE = ConvCase("float32", 2, 3, 5, 2, (7, 6), (3, 2), (2, 1), (1, 1), (3, 2))
TILE = Tile(16, 8, 8, 4, 4)
# More channels and pixels than a thread's first groups.
WIDE = ConvCase("float32", 1, 6, 40, 1, (4, 5), (1, 1), (1, 1), (0, 0), (1, 1))
WIDE_TILE = Tile(64, 32, 4, 8, 8)
# A step goes on by several lines, and images.
NARROW = ConvCase("float32", 13, 1, 1, 1, (2, 3), (2, 2), (1, 1), (0, 0), (1, 1))

Runs = list[tuple[ConvCase, Way]]
DIRECT: Runs = [(CASE, by_definition(64))]
HALO: Runs = [(CASE, WAYS["halo tile"])]
BACKWARDS: Runs = [(CASE._replace(stride=(1, 1)), WAYS["halo tile, backwards"])]
DEPTHWISE: Runs = [(CASE._replace(group_inputs=1, group_outputs=2, groups=3, stride=(2, 2)), WAYS["depthwise"])]
PIECES: Runs = [*((case, WAYS["depthwise"]) for case in convolutions.IN_PIECES), *DEPTHWISE]
IMPLICIT: Runs = [(NARROW, implicit(TILE, 2)), (WIDE, implicit(WIDE_TILE, 2)), (CASE, implicit(TILE, 2))]
# More columns than a table has entries.
OF_WEIGHTS: Runs = [(NARROW, implicit(Tile(8, 64, 4, 4, 8), 2)), *IMPLICIT]
# More channels than a tile has rows, and more pixels than columns; two steps, and not whole ones.
MANY = ConvCase("float32", 3, 12, 36, 1, (4, 5), (1, 2), (1, 1), (0, 1), (1, 1))
IN_TF32, IN_HALVES = implicit(WarpTile(32, 16, 8, 32, 16), 2, "tf32"), implicit(WarpTile(32, 16, 16, 32, 8), 2, "fp16")
OF_WARPS: Runs = [(MANY, IN_TF32), (NARROW, IN_HALVES), (CASE, IN_HALVES)]
WEIGHTS_OF_WARPS: Runs = [(NARROW, implicit(WarpTile(16, 64, 8, 16, 64), 2, "tf32")), *OF_WARPS]


def right(parts: tuple[str, ...], runs: Runs) -> bool:
    """Are the results of these parts within their bounds?"""
    unwanted = dict.fromkeys({"forward", "grad_input", "grad_weight"} - set(parts))
    for case, way in runs:
        for computed, exact, bound in convolutions.checks(case, way._replace(**unwanted)):
            if not within(computed, exact, bound):
                return False
    return all(convolutions.spoils_only_its_own(way._replace(**unwanted)) for _, way in runs[-1:])


# name: the file, the kernel in it if there are several, its edits, which of the three are computed then, in which runs
TABLE = {
    "direct forward": (direct, "conv2d_forward", DIRECT_FORWARD, ("forward",), DIRECT),
    "direct grad_input": (direct, "conv2d_grad_input", DIRECT_GRAD_INPUT, ("grad_input",), DIRECT),
    "direct grad_weight": (direct, "conv2d_grad_weight", DIRECT_GRAD_WEIGHT, ("grad_weight",), DIRECT),
    "halo tile": (halo_tile, "", HALO_TILE, ("forward",), HALO),
    "halo tile, backwards": (halo_tile, "", HALO_BACKWARDS, ("grad_input",), BACKWARDS),
    "depthwise forward": (depthwise, "conv2d_depthwise", DEPTHWISE_FORWARD, ("forward",), DEPTHWISE),
    "depthwise grad_input": (
        depthwise, "conv2d_depthwise_grad_input", DEPTHWISE_GRAD_INPUT, ("grad_input",), DEPTHWISE
    ),
    "depthwise grad_weight": (
        depthwise, "conv2d_depthwise_grad_weight", DEPTHWISE_GRAD_WEIGHT, ("grad_weight",), PIECES
    ),
    "implicit_gemm": (implicit_gemm, "", IMPLICIT_GEMM, ("forward", "grad_input"), IMPLICIT),
    "windows": (windows, "", WINDOWS, ("forward",), [*IMPLICIT, *OF_WARPS]),
    "outer_product": (outer_product, "", OUTER_PRODUCT, ("forward",), IMPLICIT),
    "offsets": (offsets, "", OFFSETS, ("forward", "grad_input"), IMPLICIT),
    "weight_gradient": (weight_gradient, "", WEIGHT_GRADIENT, ("grad_weight",), OF_WEIGHTS),
    "pixel_lanes": (pixel_lanes, "", PIXEL_LANES, ("grad_weight",), [*IMPLICIT, *OF_WARPS]),
    "words": (words, "", WORDS, ("forward",), OF_WARPS),
    "tensor_cores": (tensor_cores, "", TENSOR_CORES, ("forward", "grad_input"), OF_WARPS),
    "warp_weight_gradient": (
        warp_weight_gradient, "", WARP_WEIGHT_GRADIENT, ("grad_weight",), WEIGHTS_OF_WARPS
    ),
}  # fmt: skip
MORE = {
    "direct grad_weight": by_hand(
        direct,
        [("partial[k, thread] += ", "cuda.syncthreads(); partial[k, thread] += ")],
        kind="a barrier for some threads",
    ),
    "implicit_gemm": by_hand(
        implicit_gemm,
        [("x_tile = cuda.shared.array(both_x, float32, alignment=16)", "x_tile = w_tile")],
        kind="two tiles in one array",
    ),
}
SUBJECTS = [
    Subject(
        name,
        file,
        partial(right, parts, runs),
        [*by_hand(file, edits, kernel), *barriers(file, kernel), *MORE.get(name, [])],
    )
    for name, (file, kernel, edits, parts, runs) in TABLE.items()
]

"""Max-pooling and its gradient, compiled: same signatures and same bits as ``kernels.reference.pool2d``.

Rows of windows that lie wholly inside the image are reduced in vector registers (``pool_vectors``), the others one by
one. A window's winner is one byte, the number of its tap: an eighth of the memory of an index, and all that the
gradient needs. Threads work on different planes.
"""

import numpy as np
from numba import njit, prange

from ..reference.pool2d import check_taps, first_tap_inside, pool2d_output_size
from .compile import carray, check_real, compiled
from .pool_vectors import pool_row, pool_windows, unpool_row
from .threads import threads_for

SHORT = 8  # so few windows in a row fill no vector
TOGETHER = 128  # windows, about, whose places are found once
MOST_LANES = 16
MANY = 256  # numbers of taps, which are bytes

Pair = tuple[int, int]
Shape4 = tuple[int, int, int, int]


def max_pool2d_taps(
    x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(y, taps) for x (N, C, H, W) in float32 or float64; see the reference. TypeError for another dtype."""
    check_real("x", x)
    n, channels, height, width = x.shape
    output = pool2d_output_size(x.shape, kernel, stride, padding, dilation, ceil_mode)
    check_taps(kernel, x.shape, output, stride, padding, dilation)
    y = np.empty((n, channels, *output), x.dtype)
    taps = np.empty(y.shape, np.uint8)
    planes = n * channels
    _pool(
        threads_for(y.size * kernel[0] * kernel[1] // 4, planes),
        carray(x).reshape(-1), y.reshape(-1), taps.reshape(-1),
        (planes, height, width), output, kernel, stride, padding, dilation,
    )  # fmt: skip
    return y, taps


def max_pool2d_taps_backward(
    g: np.ndarray, taps: np.ndarray, x_shape: Shape4, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair
) -> np.ndarray:
    """dx (N, C, H, W) for g in float32 or float64; see the reference.

    TypeError for another dtype, ValueError if the shapes disagree, IndexError for a tap outside its input plane.
    """
    check_real("g", g)
    n, channels, height, width = x_shape
    if g.shape != taps.shape or g.shape[:2] != (n, channels) or taps.dtype != np.uint8:
        raise ValueError(f"g {g.shape} and taps {taps.shape} (bytes) must be alike and begin with {(n, channels)}")
    dx = np.empty(x_shape, g.dtype)
    planes, output = n * channels, g.shape[2:]
    outside = _unpool(
        threads_for(dx.size, planes), carray(g).reshape(-1), carray(taps).reshape(-1), dx.reshape(-1),
        (planes, height, width), output, kernel, stride, padding, dilation,
    )  # fmt: skip
    if outside:
        raise IndexError(f"{outside} of the taps lie outside their plane of {height} x {width} elements")
    return dx


def max_pool2d_forward(
    x: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair, ceil_mode: bool
) -> tuple[np.ndarray, np.ndarray]:
    """(y, winners) for x (N, C, H, W) in float32 or float64; see the reference. TypeError for another dtype."""
    check_real("x", x)
    n, channels, height, width = x.shape
    output = pool2d_output_size(x.shape, kernel, stride, padding, dilation, ceil_mode)
    for axis in (0, 1):
        first_tap_inside(x.shape[2 + axis], output[axis], stride[axis], padding[axis], dilation[axis])
    y = np.empty((n, channels, *output), x.dtype)
    winners = np.empty(y.shape, np.int64)
    planes = n * channels
    _pool_indexed(
        threads_for(y.size * kernel[0] * kernel[1], planes),
        carray(x).reshape(planes, height, width), y.reshape(planes, *output), winners.reshape(planes, *output),
        kernel, stride, padding, dilation,
    )  # fmt: skip
    return y, winners


def max_pool2d_backward(g: np.ndarray, winners: np.ndarray, x_shape: Shape4) -> np.ndarray:
    """dx (N, C, H, W) for g in float32 or float64; see the reference.

    TypeError for another dtype, ValueError if the shapes disagree, IndexError for a winner outside its input plane.
    """
    check_real("g", g)
    n, channels, height, width = x_shape
    if g.shape != winners.shape or g.shape[:2] != (n, channels):
        raise ValueError(f"g {g.shape} and winners {winners.shape} must be alike and begin with {(n, channels)}")
    planes, size = n * channels, g.shape[2] * g.shape[3]
    dx = np.empty((planes, height * width), g.dtype)
    outside = _unpool_indexed(
        threads_for(g.size * 4 + dx.size, planes),
        carray(g).reshape(planes, size),
        carray(winners).reshape(planes, size),
        dx,
    )
    if outside:
        raise IndexError(f"{outside} of the winners lie outside their plane of {height} x {width} elements")
    return dx.reshape(x_shape)


@njit(error_model="numpy")
def _taps_inside(start, kernel, dilation, size):
    """(first, end) of the taps of a window from `start` on that lie in the image."""
    first = -(start // dilation) if start < 0 else 0
    return first, min(kernel, (size - 1 - start) // dilation + 1)


@njit(error_model="numpy")
def _whole_windows(output, kernel, stride, padding, dilation, size):
    """(first, end) of the windows that lie wholly in the image."""
    first = min(output, -(-padding // stride))
    end = (size - 1 - dilation * (kernel - 1) + padding) // stride + 1
    return first, max(first, min(output, end))


@njit(error_model="numpy")
def _all_whole(size, output, kernel, stride, padding, dilation):
    for axis in range(2):
        whole = _whole_windows(output[axis], kernel[axis], stride[axis], padding[axis], dilation[axis], size[1 + axis])
        if whole != (0, output[axis]) or padding[axis]:
            return False
    return True


@njit(error_model="numpy")
def _places_of_windows(size, output, stride):
    """Where the windows of some planes begin, and of how many planes."""
    _, height, width = size
    rows, columns = output
    together = -(-TOGETHER // max(1, rows * columns))
    places = np.zeros(together * rows * columns + MOST_LANES, np.int64)
    k = 0
    for plane in range(together):
        for oh in range(rows):
            for ow in range(columns):
                places[k] = (plane * height + oh * stride[0]) * width + ow * stride[1]
                k += 1
    return places, together


@njit(error_model="numpy")
def _pool_planes(first_plane, end_plane, x, y, taps, size, output, kernel, stride, padding, dilation):
    _, height, width = size
    rows, columns = output
    first, end = _whole_windows(columns, kernel[1], stride[1], padding[1], dilation[1], width)
    if (stride[1] > 2 or columns <= SHORT) and _all_whole(size, output, kernel, stride, padding, dilation):
        _pool_scattered(first_plane, end_plane, x, y, taps, size, output, kernel, stride, dilation)
        return
    if stride[1] > 2:
        first, end = columns, columns
    for plane in range(first_plane, end_plane):
        for oh in range(rows):
            top = oh * stride[0] - padding[0]
            i_first, i_end = _taps_inside(top, kernel[0], dilation[0], height)
            line = (plane * height + top + i_first * dilation[0]) * width
            to = (plane * rows + oh) * columns
            if first < end:
                pool_row(
                    x, line + first * stride[1] - padding[1], dilation[0] * width, dilation[1], stride[1], i_first,
                    i_end, kernel[1], y, to + first, taps, end - first,
                )  # fmt: skip
            for edge in ((0, first), (end, columns)):
                for ow in range(edge[0], edge[1]):
                    left = ow * stride[1] - padding[1]
                    j_first, j_end = _taps_inside(left, kernel[1], dilation[1], width)
                    best, tap = x.dtype.type(-np.inf), i_first * kernel[1] + j_first
                    for i in range(i_first, i_end):
                        for j in range(j_first, j_end):
                            value = x[line + (i - i_first) * dilation[0] * width + left + j * dilation[1]]
                            better = (value > best) | (value != value)
                            # Two selections, not a branch: on real images a branch is guessed wrong every other time.
                            best = value if better else best
                            tap = i * kernel[1] + j if better else tap
                    y[to + ow] = best
                    taps[to + ow] = tap


@njit(error_model="numpy")
def _pool_scattered(first_plane, end_plane, x, y, taps, size, output, kernel, stride, dilation):
    """The windows of some planes at a time, wherever they begin; all lie wholly in the image."""
    windows, plane_size = output[0] * output[1], size[1] * size[2]
    places, together = _places_of_windows(size, output, stride)
    for plane in range(first_plane, end_plane, together):
        pool_windows(
            x, plane * plane_size, places, dilation[0] * size[2], dilation[1], kernel[0], kernel[1], y, plane * windows,
            taps, min(together, end_plane - plane) * windows,
        )  # fmt: skip


@njit(error_model="numpy")
def _unpool_scattered(first_plane, end_plane, g, taps, dx, size, output, kernel, stride, dilation):
    """As _unpool_planes, for windows that lie wholly in the image."""
    windows, plane_size = output[0] * output[1], size[1] * size[2]
    places, together = _places_of_windows(size, output, stride)
    inside, outside = kernel[0] * kernel[1], 0
    within = np.zeros(MANY, np.int64)
    for tap in range(min(MANY, inside)):
        within[tap] = tap // kernel[1] * dilation[0] * size[2] + tap % kernel[1] * dilation[1]
    for plane in range(first_plane, end_plane, together):
        count = min(together, end_plane - plane)
        of, to = plane * windows, plane * plane_size
        for k in range(to, to + count * plane_size):
            dx[k] = 0
        for k in range(count * windows):
            if taps[of + k] < inside:
                dx[to + places[k] + within[taps[of + k]]] += g[of + k]
            else:
                outside += 1
    return outside


@njit(error_model="numpy")
def _unpool_planes(first_plane, end_plane, g, taps, dx, size, output, kernel, stride, padding, dilation):
    """Returns how many taps lay outside."""
    _, height, width = size
    rows, columns = output
    pairs = kernel == (2, 2) and stride == (2, 2) and padding == (0, 0) and dilation == (1, 1)
    pairs = pairs and 2 * rows <= height and 2 * columns <= width
    if not pairs and _all_whole(size, output, kernel, stride, padding, dilation):
        return _unpool_scattered(first_plane, end_plane, g, taps, dx, size, output, kernel, stride, dilation)
    outside = 0
    for plane in range(first_plane, end_plane):
        of, to = plane * rows * columns, plane * height * width
        if pairs:  # each input has one window: its gradient is written once
            for h in range(2 * rows):
                row = of + h // 2 * columns
                unpool_row(g, row, taps, row, h % 2 * 2, dx, to + h * width, columns)
                for w in range(2 * columns, width):
                    dx[to + h * width + w] = 0
            for k in range(to + 2 * rows * width, to + height * width):
                dx[k] = 0
            for k in range(of, of + rows * columns):
                outside += taps[k] > 3
            continue
        for k in range(to, to + height * width):
            dx[k] = 0
        for oh in range(rows):
            for ow in range(columns):
                k = of + oh * columns + ow
                tap = np.int64(taps[k])
                h = oh * stride[0] - padding[0] + tap // kernel[1] * dilation[0]
                w = ow * stride[1] - padding[1] + tap % kernel[1] * dilation[1]
                if 0 <= h < height and 0 <= w < width:
                    dx[to + h * width + w] += g[k]
                else:
                    outside += 1
    return outside


def _signatures(arrays, returns="void"):
    """For float32 and float64: threads, these arrays, then the sizes."""
    sizes = ["UniTuple(int64, 3)", *["UniTuple(int64, 2)"] * 5]
    return [
        f"{returns}(int64, {', '.join([array.replace('real', real) for array in arrays] + sizes)})"
        for real in ("float32", "float64")
    ]


@compiled(_signatures(["real[::1]", "real[::1]", "uint8[::1]"]), parallel=True)
def _pool(threads, x, y, taps, size, output, kernel, stride, padding, dilation):
    if threads == 1:
        _pool_planes(0, size[0], x, y, taps, size, output, kernel, stride, padding, dilation)
        return
    for thread in prange(threads):
        _pool_planes(
            thread * size[0] // threads, (thread + 1) * size[0] // threads, x, y, taps, size, output, kernel, stride,
            padding, dilation,
        )  # fmt: skip


@compiled(_signatures(["real[::1]", "uint8[::1]", "real[::1]"], "int64"), parallel=True)
def _unpool(threads, g, taps, dx, size, output, kernel, stride, padding, dilation):
    """Returns how many taps lay outside and were left out."""
    if threads == 1:
        return _unpool_planes(0, size[0], g, taps, dx, size, output, kernel, stride, padding, dilation)
    outside = 0
    for thread in prange(threads):
        outside += _unpool_planes(
            thread * size[0] // threads, (thread + 1) * size[0] // threads, g, taps, dx, size, output, kernel, stride,
            padding, dilation,
        )  # fmt: skip
    return outside


_PAIRS = ", ".join(["UniTuple(int64, 2)"] * 4)


@compiled(
    [f"void(int64, {real}[:,:,::1], {real}[:,:,::1], int64[:,:,::1], {_PAIRS})" for real in ("float32", "float64")],
    parallel=True,
)
def _pool_indexed(threads, x, y, winners, kernel, stride, padding, dilation):
    planes, height, width = x.shape
    for thread in prange(threads):
        for plane in range(thread * planes // threads, (thread + 1) * planes // threads):
            for oh in range(y.shape[1]):
                top = oh * stride[0] - padding[0]
                i_first, i_end = _taps_inside(top, kernel[0], dilation[0], height)
                for ow in range(y.shape[2]):
                    left = ow * stride[1] - padding[1]
                    j_first, j_end = _taps_inside(left, kernel[1], dilation[1], width)
                    best = y.dtype.type(-np.inf)
                    winner = (top + i_first * dilation[0]) * width + left + j_first * dilation[1]
                    for i in range(i_first, i_end):
                        for j in range(j_first, j_end):
                            h, w = top + i * dilation[0], left + j * dilation[1]
                            value = x[plane, h, w]
                            better = (value > best) | (value != value)
                            best = value if better else best
                            winner = h * width + w if better else winner
                    y[plane, oh, ow] = best
                    winners[plane, oh, ow] = winner


@compiled(
    [f"int64(int64, {real}[:,::1], int64[:,::1], {real}[:,::1])" for real in ("float32", "float64")], parallel=True
)
def _unpool_indexed(threads, g, winners, dx):
    """dx (P, H*W) ← zeros, and g (P, OH*OW) added at the winners; returns how many lay outside and were left out."""
    if threads == 1:
        return _unpool_indexed_planes(0, len(g), g, winners, dx)
    outside = 0
    for thread in prange(threads):
        outside += _unpool_indexed_planes(thread * len(g) // threads, (thread + 1) * len(g) // threads, g, winners, dx)
    return outside


@njit(error_model="numpy")
def _unpool_indexed_planes(first, end, g, winners, dx):
    outside = 0
    for plane in range(first, end):
        dx[plane] = 0
        for k in range(g.shape[1]):
            winner = winners[plane, k]
            if 0 <= winner < dx.shape[1]:
                dx[plane, winner] += g[plane, k]
            else:
                outside += 1
    return outside

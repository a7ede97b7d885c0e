"""What is broken in the fused kernels, file by file, and what must notice: host functions on a simulated GPU."""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
from breaking import Subject
from mutants import barriers, by_hand
from simulated_gpu import simulated_gpu

from minipar.kernels.cuda import (
    avg_pool2d,
    batch_norm,
    channel_sums,
    cross_entropy,
    dropout,
    layer_norm,
    max_pool2d,
    optimizer_steps,
    picked_rows,
    planes,
    relu_gradient,
    rows,
    running_statistics,
    strips,
    wrong_targets,
)
from minipar.kernels.reference import activations, normalization, pool2d, softmax_cross_entropy
from minipar.kernels.reference import dropout as reference_dropout
from minipar.kernels.reference import optimizer_steps as reference_steps
from minipar.kernels.reference import picked_rows as reference_rows


def near(actual, expected) -> bool:
    return np.allclose(actual, expected, rtol=1e-12, atol=1e-12)


def cross_entropy_is_right(gpu: SimpleNamespace) -> bool:
    rng = np.random.default_rng(0)
    right = True
    for samples, classes, weighted in ((6, 40, True), (2, 300, False)):
        logits, weight = 5 * rng.standard_normal((samples, classes)), rng.random(classes) if weighted else None
        logits[0] -= 1000
        logits[1, 3] += 2000
        target = rng.integers(1, classes, samples)
        target[1] = -100
        losses, kept = gpu.call(cross_entropy.cross_entropy_forward, logits, target, weight, -100)
        expected, log_probs = softmax_cross_entropy.cross_entropy_forward(logits, target, weight, -100)
        right &= near(losses, expected)
        g = rng.standard_normal(samples)
        dlogits = gpu.call(cross_entropy.cross_entropy_backward, g, kept, target, weight, -100)
        expected = softmax_cross_entropy.cross_entropy_backward(g, log_probs, target, weight, -100)
        right &= near(dlogits, expected)
        g, ours = np.asarray(1.5), gpu.call(cross_entropy.cross_entropy_loss, logits, target, weight, -100, True)
        theirs = softmax_cross_entropy.cross_entropy_loss(logits, target, weight, -100, True)
        right &= near(ours[0], theirs[0]) and near(ours[1], theirs[1])
        dlogits = gpu.call(cross_entropy.cross_entropy_gradient, g, ours[2], target)
        right &= near(dlogits, softmax_cross_entropy.cross_entropy_gradient(g, theirs[2], target))
    nothing = gpu.call(cross_entropy.cross_entropy_loss, logits, np.full(2, -100), None, -100, True)[2]
    right &= not gpu.call(cross_entropy.cross_entropy_gradient, np.asarray(np.nan), nothing, np.full(2, -100)).any()
    for wrong in ([-1, 0], [0, classes]):
        for target in (wrong, [-1, -1]):  # the first one is told
            gpu.call(cross_entropy.cross_entropy_loss, logits, np.array(target), None, 1, True)
        try:
            wrong_targets.tell()
            right = False
        except IndexError as error:
            row = wrong.index(0) ^ 1
            right &= str(error) == wrong_targets.complaint(row, wrong[row], classes, 1)
    return right


def layer_norm_is_right(gpu: SimpleNamespace) -> bool:
    rng, right = np.random.default_rng(0), True
    for count, width, affine, centred in ((5, 40, True, True), (2, 260, True, True), (3, 7, False, False)):
        x, g = rng.standard_normal((2, count, width)) + 1
        weight, bias = rng.standard_normal((2, width)) if affine else (None, None)
        y, kept = gpu.call(layer_norm.layer_norm_forward, x, weight, bias, 1e-5, centred)
        expected, statistics = normalization.layer_norm_forward(x, weight, bias, 1e-5, centred)
        right &= near(y, expected)
        dx = gpu.call(layer_norm.layer_norm_backward, g, x, weight, kept, centred)
        right &= near(dx, normalization.layer_norm_backward(g, x, weight, statistics, centred))
    x, g = rng.standard_normal((2, 25, 3))
    _, kept = gpu.call(layer_norm.layer_norm_forward, x, None, None, 1e-5, True)
    places = gpu.to_gpu((np.full(3, np.nan), np.full(3, np.nan)))
    layer_norm.layer_norm_backward(*gpu.to_gpu((g, x, None, kept)), True, *places)
    right &= near(places[0].get(), (g * normalization.standardize_forward(x, (1,), 1e-5, True)[0]).sum(0))
    right &= near(places[1].get(), g.sum(0))
    place = gpu.to_gpu(np.full(3, np.nan))
    layer_norm.layer_norm_backward(*gpu.to_gpu((g, x, None, kept)), True, None, place)
    return right and near(place.get(), g.sum(0))


def batch_norm_is_right(gpu: SimpleNamespace) -> bool:
    rng, right = np.random.default_rng(0), True
    for shape, affine, running in (((3, 2, 41), True, False), ((9, 33, 2), True, False), ((2, 3, 4), False, True)):
        x, g = rng.standard_normal((2, *shape)) + 1
        weight, bias = rng.standard_normal((2, shape[1])) if affine else (None, None)
        constants = tuple(rng.random((2, shape[1])) + 1) if running else None
        y, statistics = gpu.call(batch_norm.batch_norm_forward, x, weight, bias, 1e-3, constants)
        expected, theirs = normalization.batch_norm_forward(x, weight, bias, 1e-3, constants)
        right &= near(y, expected) and near(statistics, theirs)
        place, dweight = gpu.to_gpu(np.full(shape[1], np.nan)), np.empty(shape[1])
        dx = batch_norm.batch_norm_backward(*gpu.to_gpu((g, x, weight, theirs)), 1e-3, not running, place)
        expected = normalization.batch_norm_backward(g, x, weight, theirs, 1e-3, not running, dweight)
        right &= near(dx.get(), expected) and near(place.get(), dweight)
    return right


def channel_sums_are_right(gpu: SimpleNamespace) -> bool:
    right = batch_norm_is_right(gpu)
    for shape in ((3, 2, 5, 8), (9, 33, 2, 1)):
        g = np.random.default_rng(0).standard_normal(shape)
        right &= near(gpu.call(channel_sums.sum_of_channels, g), g.sum((0, 2, 3)))
    return right


def running_statistics_are_right(gpu: SimpleNamespace) -> bool:
    rng, right = np.random.default_rng(0), True
    for channels, samples, momentum in ((3, 1, 0.1), (300, 2, np.array(0.3))):
        here = [*rng.random((2, channels)), rng.random((2, samples, channels)), 5, momentum]
        there = list(gpu.to_gpu(tuple(x.copy() if isinstance(x, np.ndarray) else x for x in here)))
        running_statistics.follow_statistics(*there)
        normalization.follow_statistics(*here)
        right &= all(near(x.get(), y) for x, y in zip(there[:2], here))
    return right


def relu_gradient_is_right(gpu: SimpleNamespace) -> bool:
    g, y = np.random.default_rng(0).standard_normal((2, 300))
    y[:3] = 0, np.nan, np.inf
    return np.array_equal(gpu.call(relu_gradient.relu_gradient, g, y), activations.relu_gradient(g, y))


def dropout_is_right(gpu: SimpleNamespace) -> bool:
    rng, right = np.random.default_rng(0), True
    ticket = np.array([2.0**32 - 1, 2.0**31 + 7, 2.0**32 - 2, 2.0**31, 2.0**32 - 9])
    for sizes, shifts in (((1, 5, 13, 1), (0.0, 0.0)), ((3, 4, 5, 1), (0.25, -1.3)), ((1, 3, 5, 7), (0.25, -1.3))):
        x, g = rng.standard_normal((2, *sizes))
        got = gpu.call(dropout.dropout_forward, x, ticket, sizes, 1 / 3, 1.5, shifts)
        right &= all(map(np.array_equal, got, reference_dropout.dropout_forward(x, ticket, sizes, 1 / 3, 1.5, shifts)))
        dx = gpu.call(dropout.dropout_backward, g, got[1], 1.5)
        right &= np.array_equal(dx, reference_dropout.dropout_backward(g, got[1], 1.5))
    return right


def picked_rows_are_right(gpu: SimpleNamespace) -> bool:
    rng, right = np.random.default_rng(0), True
    cases = (3, 1, False, 3), (3, None, True, 2), (260, 0, True, 4), (1, 2, False, 5)
    for width, padding, by_frequency, longest in cases:
        picked_rows.embedding_backward.__globals__["LONGEST"] = longest  # of the file that is looked at
        numbers = rng.permutation([0] * 6 + [1] * 4 + [2] + [4] * 11 + [5] * 3)
        g = rng.standard_normal((25, width))
        total = gpu.call(picked_rows.embedding_backward, g, numbers, 6, padding, by_frequency)
        right &= near(total, reference_rows.embedding_backward(g, numbers, 6, padding, by_frequency))
    outside = np.array([-2, 8, -3, 0, 6, 7])[numbers]  # long runs and short ones, below and above
    return right and not gpu.call(picked_rows.embedding_backward, g, outside, 6, None, False).any()


def optimizer_steps_are_right(gpu: SimpleNamespace) -> bool:
    rng, right = np.random.default_rng(0), True

    def same(name: str, arrays: tuple, *options) -> bool:
        there, here = gpu.to_gpu(arrays), [x.copy() if isinstance(x, np.ndarray) else x for x in arrays]
        getattr(optimizer_steps, name)(*there[:4], *options, *there[4:])
        getattr(reference_steps, name)(*here[:4], *options, *here[4:])
        return all(near(x.get(), y) for x, y in zip(there, here) if isinstance(y, np.ndarray))

    for nesterov, first, maximize, decay in ((True, False, True, 0.1), (False, True, False, 0.0)):
        arrays = tuple(rng.standard_normal((3, 300)))
        right &= same("sgd_step", (*arrays, 0.1), 0.9, 0.0 if nesterov else 0.2, decay, nesterov, first, maximize)
    right &= same("sgd_step", (*arrays, 0.1), 0.9, 0.2, 0.0, False, False, False)
    right &= same("sgd_step", (*arrays[:2], None, 0.1), 0.0, 0.0, 0.1, False, False, False)
    for decoupled, largest in ((True, None), (False, abs(rng.standard_normal(300)))):
        p, g, m, v = rng.standard_normal((4, 300))
        options = 3, 0.1, 0.9, 0.99, 1e-3, 0.1, not decoupled, decoupled
        right &= same("adam_step", (p, g, m, abs(v), *([] if largest is None else [largest])), *options)
    return right


def max_pool2d_is_right(gpu: SimpleNamespace) -> bool:
    rng, right = np.random.default_rng(0), True
    for size, geometry, ceil_mode in (
        ((7, 5), ((3, 2), (2, 1), (1, 1), (1, 2)), False),
        ((4, 9), ((2, 3), (1, 2), (0, 1), (2, 1)), True),
        ((1, 300), ((1, 2), (1, 1), (0, 1), (1, 1)), False),
    ):
        x = rng.integers(-2, 2, (2, 1, *size)).astype(float)
        x[rng.random(x.shape) < 0.2] = -np.inf
        x[rng.random(x.shape) < 0.05] = np.nan
        for name in ("max_pool2d_forward", "max_pool2d_taps"):
            ours = gpu.call(getattr(max_pool2d, name), x, *geometry, ceil_mode)
            theirs = getattr(pool2d, name)(x, *geometry, ceil_mode)
            right &= all(np.array_equal(a, b, equal_nan=True) for a, b in zip(ours, theirs))
            g = rng.standard_normal(theirs[0].shape)
            options = () if name == "max_pool2d_forward" else geometry
            name = name.replace("forward", "backward") if not options else f"{name}_backward"
            ours = gpu.call(getattr(max_pool2d, name), g, theirs[1], x.shape, *options)
            right &= np.array_equal(ours, getattr(pool2d, name)(g, theirs[1], x.shape, *options))
    return right


def avg_pool2d_is_right(gpu: SimpleNamespace) -> bool:
    rng, right = np.random.default_rng(0), True
    for size, *options in (
        ((7, 5), (3, 2), (2, 1), (1, 1), False, True, None),
        ((4, 9), (2, 3), (1, 2), (0, 1), True, False, None),
        ((6, 4), (2, 3), (3, 2), (1, 0), True, True, None),
        ((5, 7), (2, 3), (2, 2), (0, 0), False, True, 5),
    ):
        x = rng.standard_normal((2, 2, *size))
        expected = pool2d.avg_pool2d_forward(x, *options)
        right &= near(gpu.call(avg_pool2d.avg_pool2d_forward, x, *options), expected)
        g = rng.standard_normal(expected.shape)
        dx = gpu.call(avg_pool2d.avg_pool2d_backward, g, x.shape, *options)
        right &= near(dx, pool2d.avg_pool2d_backward(g, x.shape, *options))
    return right


# (what stands in the source, and what the mutation makes of it)
MUTATIONS = {
    cross_entropy: [
        ("top = number(-math.inf)", "top = number(0)"),
        ("> top:", "< top:"),
        ("top = maximum_of_row(top)", "pass"),
        ("            total = sum_of_row(total)\n", ""),
        ("total += power", "total = power"),
        ("powers[start + c] = power", "powers[start + lane] = power"),
        ("if lane == 0:", "if lane <= 1:"),
        ("if lane == 0:", "if thread == 0:"),
        ("if t != ignored and 0 <= t < C:", "if 0 <= t < C + 200:"),
        ("if t != ignored and 0 <= t < C:", "if t != ignored and t < C:"),
        ("if t != ignored and 0 <= t < C:", "if t != ignored and 0 <= t:"),
        ("weight[t] if weighted else number(1)", "number(1)"),
        ("(logits[start + t] - top))", "logits[start + t])"),
        ("rows[N + row] = share", "rows[N + row] = loss"),
        ("            shares += rows[N + row]\n", ""),
        ("loss += rows[2 * N + row]", "loss += rows[N + row]"),
        ("wrong = number(1)", "wrong = number(0)"),
        ("        shares = sum_of_block(shares)\n", ""),
        ("loss / shares if mean else loss", "loss"),
        ("if scale != number(0):", "if True:"),
        ("scale / totals[DENOMINATOR] if mean", "scale if mean"),
        ("if wrong > number(0) and note[WRONG] == 0:", "if wrong > number(0):"),
        ("row = int32(0)\n", "row = int32(N - 1)\n"),
        ("note[ROW] = row", "note[ROW] = N"),
        ("note[CLASS] = target[row]", "note[CLASS] = row"),
        ("note[COUNT] = C", "note[COUNT] = N"),
        ("note[IGNORED] = ignored", "note[IGNORED] = 0"),
        ("g[row if of_each_row else 0]", "g[0]"),
        ("row * C + c)", "row * N + c)"),
        ("if c == t else", "if c == t + 1 else"),
        ("range(thread, N, threads)", "range(0, N, threads)"),
        ("for c in range(thread % each, C, each)", "for c in range(thread % each, C - 1, each)"),
    ],
    rows: [
        ("range(5)", "range(4)"),
        ("max(value, other) if largest", "value + other if largest"),
        ("if thread % WARP == 0:", "if thread % WARP <= 1:"),
        ("of_warps[thread // WARP] = value", "of_warps[0] = value"),
        ("range(1, warps)", "range(1, warps - 1)"),
        ("max(value, of_warps[warp]) if largest", "of_warps[warp] if largest"),
    ],
    layer_norm: [
        ("            if centred:\n", "            if True:\n"),
        ("mean = sum_of_row(mean) / number(W)", "mean = mean / number(W)"),
        ("sum_of_row(variance) / number(W)", "sum_of_row(variance) / number(W - 1)"),
        ("difference = x[start + c] - mean", "difference = x[start + c]"),
        (
            "(x[start + c] - mean) * inverse\n                if weighted",
            "x[start + c] * inverse\n                if weighted",
        ),
        ("variance + eps", "variance"),
        ("value *= weight[c]", "value *= weight[lane]"),
        ("value += bias[c]", "value += bias[lane]"),
        ("            if lane == 0:", "            if thread == 0:"),
        ("statistics[R + row] = inverse", "statistics[R + row] = mean"),
        ("along += scaled * (", "along += g[start + c] * ("),
        ("along = sum_of_row(along) / number(W)", "along = along / number(W)"),
        ("level = sum_of_row(level) / number(W) if centred else number(0)", "level = sum_of_row(level) / number(W)"),
        ("* along - level) * inverse", "* along) * inverse"),
        ("* along - level) * inverse", "* along - level)"),
        ("block % across * WARP + lane", "block % across * WARP + line"),
        ("int32(block // across * strip)", "int32(block % across * strip)"),
        ("min(first + strip, R)", "R"),
        ("min(first + strip, R)", "first + strip"),
        ("range(first + line, ", "range(first, "),
        ("        if c < W:\n            for row", "        if c <= W:\n            for row"),
        ("of_weight[line, lane] = along", "of_weight[line, lane] = level"),
        ("if line == 0 and c < W:", "if line <= 1 and c < W:"),
        ("if line == 0 and c < W:", "if line == 0:"),
        ("range(1, LINES)", "range(2, LINES)"),
        ("across * 2 + 1) * W", "across * 2 + 1) * R"),
    ],
    picked_rows: [
        ("if first < N:", "if first <= N:"),
        ("first == 0 or ", ""),
        ("numbers[order[first - 1]] != numbers[order[first]]", "numbers[first - 1] != numbers[first]"),
        ("numbers[order[first - 1]] != numbers[order[first]]", "True"),
        ("first < longest or ", ""),
        (" or numbers[order[first - longest]] != mine", ""),
        ("if numbers[order[middle]] < mine:", "if numbers[order[middle]] <= mine:"),
        ("high = middle\n", "high = int32(0)\n"),
        ("int32(first - low) % longest", "first % longest"),
        ("0 <= mine < rows and mine != padding and begins", "mine < rows and mine != padding and begins"),
        ("0 <= mine < rows and mine != padding and begins", "0 <= mine and mine != padding and begins"),
        ("0 <= mine < rows and mine != padding and begins", "0 <= mine < rows and begins"),
        ("while end < N and end < first + longest and ", "while end < first + longest and "),
        ("end < first + longest and numbers[order[end]] == mine", "numbers[order[end]] == mine"),
        ("end < first + longest and numbers[order[end]] == mine", "end < first + longest and numbers[end] == mine"),
        ("whole = begins and (", "whole = ("),
        ("(end == N or ", "("),
        ("(end == N or numbers[order[end]] != mine)", "True"),
        ("(1 if begins else 0)", "0"),
        ("W, each):\n                    value = number(0)", "W - 1, each):\n                    value = number(0)"),
        ("value / divisor\n                    else", "value\n                    else"),
        ("range(first, end)", "range(first, end - 1)"),
        ("g[order[use] * W + c]", "g[use * W + c]"),
        ("value += g", "value = g"),
        ("total.fill(0)", "pass"),
        ("if first + longest < N:", "if first + longest <= N:"),
        ("is_long = numbers[order[first + longest]] == mine and ", "is_long = "),
        (" == mine and _begins(numbers, order, first)\n", " == mine\n"),
        ("if is_long and 0 <= mine < rows and mine != padding", "if is_long and mine < rows and mine != padding"),
        ("if is_long and 0 <= mine < rows and mine != padding", "if is_long and 0 <= mine and mine != padding"),
        ("if is_long and 0 <= mine < rows and mine != padding", "if is_long and 0 <= mine < rows"),
        ("while last + longest < N and ", "while "),
        ("value = pieces[(2 * (first // longest) + 1)", "value = pieces[(2 * (first // longest))"),
        ("range(first + longest, end, longest)", "range(first, end, longest)"),
        ("range(first + longest, end, longest)", "range(first + longest, last, longest)"),
        ("value += pieces[2", "value = pieces[2"),
        ("value / divisor\n\n", "value\n\n"),
    ],
    strips: [
        ("range(count)", "range(count - 1)"),
        ("strip * numbers + i", "strip * W + i"),
        ("if i < numbers:", "if i <= numbers:"),
        ("if i < W:", "if i <= W:"),
        ("total += strips", "total = strips"),
        ("int32(i - W)", "i"),
    ],
    channel_sums: [
        ("half = int32(lines // 2)", "half = int32(lines // 4)"),
        ("if thread < half * lanes:", "if thread < half:"),
        ("if thread < half * lanes:", "if thread <= half * lanes:"),
        ("thread + half * lanes]", "thread + half]"),
        ("partial[thread % lanes]", "partial[0]"),
        ("// uint32(P)) * C + c) * P", "// uint32(P)) * P + c) * C"),
        ("uint32(e) % uint32(P)", "uint32(e) % uint32(C)"),
        ("min(first + strip, N * P)) if c < C else first", "min(first + strip, N * P))"),
        ("min(first + strip, N * P)) if c < C else first", "first + strip) if c < C else first"),
        ("mean = total(mean) / number(max(end - first, 1))", "mean = total(mean) / number(strip)"),
        ("C, P)] - mean", "C, P)]"),
        ("        squares = total(squares)\n", ""),
        ("            moments[int32(part * 2 * C + c)] = mean", "            moments[c] = mean"),
        ("        if c < C:\n            mean = moments[c]", "        if c <= C:\n            mean = moments[c]"),
        ("range(1, strips)", "range(2, strips)"),
        ("number(max(min(strip, numbers - part * strip), 0))", "number(strip)"),
        ("share = more / (before + more)", "share = more / before"),
        ("mean += difference * share", "pass"),
        (" + difference * difference * before * share", ""),
        ("before += more", "pass"),
        ("squares / number(numbers)", "squares / number(numbers - 1)"),
        ("min(first + strip, N * P), lines):\n                at", "N * P, lines):\n                at"),
        ("min(first + strip, N * P), lines):\n                value", "N * P, lines):\n                value"),
        ("        value = number(0)\n        if c < C:", "        value = number(0)\n        if c <= C:"),
        ("value += g[", "value = g["),
        ("        value = total(value)\n", ""),
        ("totals[int32(part * C + c)] = value", "totals[int32(c)] = value"),
        ("        if c < C:\n            mean = statistics[c]", "        if c <= C:\n            mean = statistics[c]"),
        ("(x[at] - mean) * inverse", "x[at] * inverse"),
        ("        along = total(along)\n", ""),
        (
            "            sums[int32((part * 2 + 1) * C + c)] = level",
            "            sums[int32(part * 2 * C + c)] = level",
        ),
    ],
    batch_norm: [
        (
            "        if i < n:\n            c = int32(i // uint32(P) % uint32(C))\n            value",
            "        if i <= n:\n            c = int32(i // uint32(P) % uint32(C))\n            value",
        ),
        (
            "        if i < n:\n            c = int32(i // uint32(P) % uint32(C))\n            inverse",
            "        if i <= n:\n            c = int32(i // uint32(P) % uint32(C))\n            inverse",
        ),
        (
            "            c = int32(i // uint32(P) % uint32(C))\n            value",
            "            c = int32(i % uint32(C))\n            value",
        ),
        ("(x[i] - statistics[c]) * (number", "x[i] * (number"),
        ("value *= weight[c]\n            if shifted", "value *= weight[0]\n            if shifted"),
        ("value += bias[c]", "value -= bias[c]"),
        ("if of_batch:", "if True:"),
        ("value -= (level[c] + standardized * along[c])", "value -= (level[c] + along[c])"),
        ("value -= (level[c] + standardized * along[c])", "value -= standardized * along[c]"),
        ("dx[i] = value * inverse", "dx[i] = value"),
        ("(x[i] - statistics[c]) * inverse", "x[i] * inverse"),
    ],
    max_pool2d: [
        ("        if i < n:\n            plane, p", "        if i <= n:\n            plane, p"),
        ("        if i < n:\n            plane, h", "        if i <= n:\n            plane, h"),
        ("plane, p, q = place_of(i, P, Q)", "plane, p, q = place_of(i, Q, P)"),
        ("plane, h, w = place_of(i, H, W)", "plane, w, h = place_of(i, H, W)"),
        ("p * stride_h - pad_h + r", "p * stride_w - pad_h + r"),
        ("q * stride_w - pad_w + s * dil_w", "q * stride_w - pad_w + s * dil_h"),
        ("if 0 <= h < H:", "if h < H:"),
        ("if 0 <= h < H:", "if 0 <= h:"),
        ("if 0 <= w < W:", "if w < W:"),
        ("if 0 <= w < W:", "if 0 <= w:"),
        ("won < 0 or ", ""),
        ("value > best", "value >= best"),
        (" or value != value", ""),
        ("r * S + s if taps", "r * R + s if taps"),
        ("h * W + w)\n", "h * H + w)\n"),
        ("h + pad_h - r", "h - pad_h + r"),
        ("p * stride_h == down and ", ""),
        (" and p < P", ""),
        ("max(down, 0)", "down"),
        ("q * stride_w == right and ", ""),
        (" and q < Q", ""),
        ("max(right, 0)", "right"),
        ("taps[at] == r * S + s", "taps[at] == r * S"),
        ("total += g[at]", "total = g[at]"),
        ("dx[int32(plane * inputs + i)] = number(0)", "pass"),
        ("if first + thread < outputs:", "if first + thread <= outputs:"),
        ("plane * outputs + first", "plane * inputs + first"),
        ("won[k] % THREADS == thread and ", ""),
        ("won[k] % THREADS == thread and ", "won[k] == thread and "),
        ("plane * inputs + won[k])] += ", "plane * inputs + won[k])] = "),
    ],
    avg_pool2d: [
        ("        if i < n:\n            plane, p", "        if i <= n:\n            plane, p"),
        ("        if i < n:\n            plane, h", "        if i <= n:\n            plane, h"),
        ("max(top, 0)", "top"),
        ("min(top + R, H)", "top + R"),
        ("max(left, 0)", "left"),
        ("min(left + S, W)", "left + S"),
        ("size + margin", "size"),
        ("max(start, -margin)", "start"),
        ("divisor if divisor else counted(top", "counted(top"),
        ("divisor if divisor else rows", "rows"),
        ("counted(left, S, W, margin_w)", "counted(left, S, W, margin_h)"),
        ("(plane * H + h) * W + w", "(plane * W + h) * H + w"),
        ("uint32(h + pad_h)", "uint32(h)"),
        ("uint32(stride_w)), Q - 1)", "uint32(stride_w)), Q)"),
        ("while p >= 0 and ", "while "),
        ("pad_h + R > h", "pad_h + R >= h"),
        ("while q >= 0 and ", "while "),
        ("pad_w + S > w", "pad_w + S >= w"),
        ("(plane * P + p) * Q", "(plane * Q + p) * P"),
        ("q = last_q", "q = int32(Q - 1)"),
    ],
    optimizer_steps: [
        (
            "i = int32(cuda.grid(1))\n        if i < n:\n            update",
            "i = int32(cuda.grid(1))\n        if i <= n:\n            update",
        ),
        (
            "i = int32(cuda.grid(1))\n        if i < n:\n            old",
            "i = int32(cuda.threadIdx.x)\n        if i < n:\n            old",
        ),
        ("update = -g[i] if maximize else g[i]", "update = g[i]"),
        ("update += weight_decay * p[i]", "pass"),
        ("if not first_step:", "if True:"),
        ("+ undampened * update", "+ update"),
        ("buffer[i] = moment", "pass"),
        ("update + momentum * moment if nesterov", "update + moment if nesterov"),
        ("p[i] -= update * lr", "p[i] -= update"),
        ("old = p[i] * shrink", "old = p[i]"),
        ("gradient = -g[i] if maximize else g[i]", "gradient = g[i]"),
        ("gradient += weight_decay * old", "gradient += old"),
        ("m += (gradient - m)", "m = (gradient - m)"),
        ("* beta2 + gradient", "+ gradient"),
        ("exp_avg[i] = m", "pass"),
        ("exp_avg_sq[i] = v\n            if", "exp_avg_sq[i] = m\n            if"),
        ("if largest > v or", "if largest < v or"),
        ("max_exp_avg_sq[i] = v\n            p", "p"),
        ("(v)) / root_correction + eps", "(v)) + eps"),
        ("(v)) / root_correction + eps", "(v)) / root_correction"),
        ("(1.0, weight_decay)", "(1.0, 0.0)"),
    ],
    planes: [
        ("uint32(i) // uint32(columns)", "uint32(i) // uint32(rows)"),
        ("uint32(i) - line * uint32(columns)", "line * uint32(columns)"),
        ("line // uint32(rows)", "line // uint32(columns)"),
        ("line - plane * uint32(rows)", "line"),
    ],
    dropout: [
        ("uint64(c0) * uint64(MULTIPLIERS[0])", "uint64(c0) * uint64(MULTIPLIERS[1])"),
        ("^ uint64(c1) ^ uint64(k0)", "^ uint64(c1)"),
        ("^ uint64(c3) ^ uint64(k1)", "^ uint64(c1) ^ uint64(k1)"),
        ("uint64(k1) + uint64(WEYL[1])", "uint64(k1) + uint64(WEYL[0])"),
        ("philox(my_block, uint32(first + mine)", "philox(my_block, uint32(mine)"),
        ("philox(my_block, uint32(first + mine)", "philox(mine, uint32(first + my_block)"),
        ("words[k] >> uint32(8)", "words[0] >> uint32(8)"),
        ("uint32(8)) >= least", "uint32(8)) >= least + uint32(1 << 20)"),
        ("int32(1 << k)", "int32(1)"),
        ("int32(8 * k + lane // 4)", "int32(8 * k)"),
        ("int32(8 * k + lane // 4)", "int32(lane // 4)"),
        ("cuda.shfl_sync(ALL_LANES, my_bits, drawn_by)", "my_bits"),
        ("cuda.shfl_sync(ALL_LANES, int32(mine), drawn_by)", "int32(mine)"),
        ("drawn_by) + lane % 4)", "drawn_by))"),
        ("sample < samples and e", "e"),
        ("and e < outer * inner:", "and e <= outer * inner:"),
        ("(part * samples + sample) * inner", "(sample * outer + part) * inner"),
        ("bits >> (lane % 4)", "bits >> 0"),
        ("kept[at] = uint8(is_kept)", "kept[at] = uint8(1 - is_kept)"),
        ("if applied:", "if not applied:"),
        ("value += of_kept if is_kept else of_dropped\n                    y", "y"),
        ("if i < n:\n            is_kept", "if i <= n:\n            is_kept"),
        ("kept[uint32(i // uint32(repeats))]", "kept[uint32(i % uint32(repeats))]"),
        ("value += of_kept if is_kept else of_dropped\n            y", "value += of_kept\n            y"),
        ("int(repeats == 1), int(any(shifts))", "int(repeats == 1), 0"),
        ("x.size, repeats, int(any(shifts))", "x.size, repeats, 0"),
    ],
    relu_gradient: [
        ("if i < n:", "if i <= n:"),
        ("y[i] <= number(0)", "y[i] < number(0)"),
        ("number(0) if y[i] <= number(0) else g[i]", "g[i] if y[i] > number(0) else number(0)"),
    ],
    running_statistics: [
        ("if c < C:", "if c <= C:"),
        ("sample * C + c", "c"),
        ("(samples + sample) * C + c", "sample * C + c"),
        ("by[0] if given else constant", "constant"),
        ("by[0] if given else constant", "by[0]"),
        ("stays = number(1) - momentum", "stays = number(1)"),
        ("(mean / number(samples))", "mean"),
        (" * unbiased)", ")"),
    ],
}


# What has no host functions of its own is looked at by one that uses it.
CHECKS = {
    picked_rows: picked_rows_are_right,
    channel_sums: channel_sums_are_right,
    batch_norm: batch_norm_is_right,
    strips: layer_norm_is_right,
    max_pool2d: max_pool2d_is_right,
    avg_pool2d: avg_pool2d_is_right,
    cross_entropy: cross_entropy_is_right,
    rows: cross_entropy_is_right,
    layer_norm: layer_norm_is_right,
    optimizer_steps: optimizer_steps_are_right,
    planes: max_pool2d_is_right,
    dropout: dropout_is_right,
    relu_gradient: relu_gradient_is_right,
    running_statistics: running_statistics_are_right,
}


def on_simulated_gpu(check: Callable[[SimpleNamespace], bool]) -> Callable[[], bool]:
    def right() -> bool:
        with simulated_gpu() as gpu:
            return check(gpu)

    return right


SUBJECTS = [
    Subject(
        file.__name__.rpartition(".")[2],
        file,
        on_simulated_gpu(check),
        [*by_hand(file, MUTATIONS[file]), *barriers(file)],
    )
    for file, check in CHECKS.items()
]

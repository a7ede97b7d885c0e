"""What is broken in the recurrent kernels, file by file, and what must notice: both ways to walk sequences."""

from collections.abc import Callable

import numpy as np
import pytest
from breaking import Subject
from mutants import barriers, by_hand
from simulated_gpu import simulated_gpu
from test_cuda_recurrent import SMALL, on_gpu, problem, reference

from minipar.kernels.cuda import matmul
from minipar.kernels.cuda.interpreter import KernelError
from minipar.kernels.cuda.recurrent import cells, persistent, stepwise, walk

LOADED = "weights[k] = weight[at] if unit < H and k < H else number(0)\n            "  # before how the next is found

# (what stands in the source, and what the mutation makes of it)
MUTATIONS = {
    cells: [
        ("i = sigmoid(a[0] + b[0])", "i = sigmoid(a[0])"),
        ("f = sigmoid(a[1] + b[1])", "f = sigmoid(a[1] + b[0])"),
        ("number(math.tanh(a[2] + b[2]))", "sigmoid(a[2] + b[2])"),
        ("o = sigmoid(a[3] + b[3])", "o = sigmoid(a[3] + b[2])"),
        ("a[0] = i", "a[0] = f"),
        ("kept[0] = c\n", "kept[0] = g\n"),
        ("c = f * c + i * g", "c = i * c + f * g"),
        ("kept[1] = squashed", "kept[1] = c"),
        ("return o * squashed, c", "return squashed, c"),
        ("dc += dh * o * (number(1)", "dc = dh * o * (number(1)"),
        ("- squashed * squashed)", "- squashed)"),
        ("slopes[0] = dc * g * i", "slopes[0] = dc * i"),
        ("dc * kept[0] * f", "dc * f"),
        ("slopes[2] = dc * i", "slopes[2] = dh * i"),
        ("dh * squashed * o * (number(1) - o)", "dh * squashed * o"),
        ("return number(0), dc * f", "return number(0), dc"),
        ("return number(0), dc * f", "return dh, dc * f"),
        ("r = sigmoid(a[0] + b[0])", "r = sigmoid(a[0] + b[1])"),
        ("z = sigmoid(a[1] + b[1])", "z = sigmoid(a[1])"),
        ("a[2] + r * b[2]", "r * a[2] + b[2]"),
        ("kept[0] = b[2]", "kept[0] = b[1]"),
        ("return (h - n) * z + n, c", "return (n - h) * z + h, c"),
        ("of_a = dh * (number(1) - z)", "of_a = dh * z"),
        ("slopes[3] = of_a", "slopes[3] = of_a * r"),
        ("slopes[2] = of_a * r", "slopes[2] = of_a"),
        ("slopes[1] = dh * (h - n)", "slopes[1] = dh * (n - h)"),
        ("of_a * r * kept[0]", "of_a * kept[0]"),
        ("return dh * z, dc", "return number(0), dc"),
        ("x <= number(0) else x", "x <= number(0) else -x"),
        ("if gates[0] > number(0)", "if gates[0] < number(0)"),
        ("(number(1) - gates[0] * gates[0])", "(number(1) - gates[0])"),
        ("+ number(0.5)", "- number(0.5)"),
    ],
    persistent: [
        (f"{LOADED}at = int32(at + G * H)", f"{LOADED}at = int32(at + H)"),
        (f"{LOADED}at = int32(at + G * H)", f"{LOADED.replace('unit < H and ', '')}at = int32(at + G * H)"),
        (f"{LOADED}at = int32(at + G * H)", f"{LOADED.replace(' and k < H', '')}at = int32(at + G * H)"),
        (f"{LOADED}at = int32(at + H)", f"{LOADED}at = int32(at + G * H)"),
        (f"{LOADED}at = int32(at + H)", f"{LOADED.replace('unit < H and ', '')}at = int32(at + H)"),
        (f"{LOADED}at = int32(at + H)", f"{LOADED.replace(' and k < H', '')}at = int32(at + H)"),
        ("bias[line] if biased and unit < H", "bias[unit] if biased and unit < H"),
        ("bias[line] if biased and unit < H", "bias[line] if biased"),
        ("bias[line] if biased and unit < H", "bias[line] if unit < H"),
        ("h0[sequence * H + thread] if thread < H else number(0)", "number(0)"),
        ("h0[sequence * H + thread] if thread < H else number(0)", "h0[sequence * H + thread]"),
        ("c = c0[sequence * H + thread]", "c = c0[thread]"),
        ("t = int32(steps - 1 - step if backwards else step)", "t = int32(step)"),
        ("t = int32(steps - 1 - step if backwards else step)", "t = int32(T - 1 - step if backwards else step)"),
        ("t = int32(step if backwards else steps - 1 - step)", "t = int32(steps - 1 - step)"),
        ("multiplied(weights, state, 0) + shift", "multiplied(weights, state, 0)"),
        ("b[gate] = product[gate * width + thread]", "b[gate] = product[gate + thread]"),
        ("before[row * H + thread] = h\n                    h, c", "h, c"),
        ("state[0, thread] = h\n                    h_all", "h_all"),
        ("kept[(row * K + k) * H + thread] = extra[k]", "kept[(row * K + k) * H + thread] = extra[0]"),
        ("c_n[sequence * H + thread] = c", "c_n[sequence * H + thread] = h_n[sequence * H + thread]"),
        ("at = int32(mine * H * H + unit)", "at = int32(unit)"),
        ("dc = dc_n[sequence * H + thread]", "dc = number(0)"),
        ("of_gates[mine, unit] = number(0)", "pass"),
        ("            if given:\n", "            if True:\n"),
        ("of_gates[gate, thread] = slopes[gate]", "of_gates[0, thread] = slopes[gate]"),
        ("db[(row * G + gate) * H + thread] = slopes[gate]", "db[(row * G + gate) * H + thread] = slopes[0]"),
        ("S - 1 if gate == G - 1 else gate", "gate"),
        ("odd += weights[k + 1]", "odd += weights[k]"),
        ("even += weights[k] *", "even = weights[k] *"),
        ("range(0, width, 2)", "range(0, width - 2, 2)"),
        ("return even + odd", "return even - odd"),
    ],
    stepwise: [
        ("if i < size * H:\n            sequence", "if i <= size * H:\n            sequence"),
        ("int32(first + sequence)\n            for", "int32(sequence)\n            for"),
        ("(sequence * G + gate) * H + unit", "(sequence * G + gate) * H"),
        ("if biased:", "if True:"),
        ("b[gate] += bias[gate * H + unit]", "b[gate] += bias[unit]"),
        ("c = memory[i] if with_memory else number(0)", "c = number(0)"),
        ("before[row * H + unit] = h\n", "before[row * H + unit] = c\n"),
        ("            state[i] = h\n", ""),
        ("memory[i] = c", "pass"),
        ("if i < max(size, made) * H:", "if i < size * H:"),
        ("if i < max(size, made) * H:", "if i <= max(size, made) * H:"),
        ("if i < made * H:", "if i < size * H:"),
        ("of_h += product[i]", "pass"),
        ("if given:", "if True:"),
        ("                    dc[i] = of_c", "                    pass"),
        ("            dh[i] = of_h", "            pass"),
        ("S - 1 if gate == G - 1 else gate", "gate"),
        ("product = matmul(db[rows], w_hh)", "product = matmul(da[rows], w_hh)"),
        ("dh.copy(), None", "dh, None"),
        ("h_n, c_n = h0.copy()", "h_n, c_n = h0"),
        ("not walk.reverse", "walk.reverse"),
    ],
    walk: [
        ("end - size for end", "end for end"),
        ("size > sequence", "size >= sequence"),
        ("self.sizes[0] != self.sizes[-1]", "True is False"),
    ],
}


def walks_are_right(*ways: str) -> Callable[[], bool]:
    """In one launch ("persistent") and a launch a step ("stepwise")."""

    def right() -> bool:
        return all(walk_is_right(way) for way in ways)

    return right


def walk_is_right(way: str) -> bool:
    with pytest.MonkeyPatch.context() as patches, simulated_gpu() as gpu:
        for name, tile in SMALL.items():
            patches.setitem(matmul.RUNGS, name, matmul.RUNGS[name]._replace(tile=tile))
        if way == "stepwise":
            patches.setattr(persistent, "width_that_fits", lambda *_: None)
        for asked in (
            problem("lstm", "float64", (3, 2, 2), 5, reverse=True),
            problem("gru", "float64", (2, 1), 3, biased=False, upstream="of the last"),
            problem("rnn tanh", "float64", (2, 2), 3, "by time"),
            problem("rnn relu", "float64", (1,), 2),
        ):
            try:
                answers = on_gpu(gpu, asked)
            except KernelError:
                raise
            except AssertionError:  # an operand is another one afterwards
                return False
            for ours, theirs in zip(answers, reference(asked), strict=True):
                if ours is not None and not np.allclose(ours, theirs, rtol=1e-11, atol=1e-11):
                    return False
    return True


WAYS = {cells: ["persistent"], persistent: ["persistent"], stepwise: ["stepwise"], walk: ["persistent", "stepwise"]}
SUBJECTS = [
    Subject(
        file.__name__.rpartition(".")[2],
        file,
        walks_are_right(*ways),
        [*by_hand(file, MUTATIONS[file]), *barriers(file)],
    )
    for file, ways in WAYS.items()
]

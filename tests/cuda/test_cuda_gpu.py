"""The host functions on a real GPU, against float64 on the CPU. Skipped by name where there is none."""

import itertools
from functools import partial

import cuda_cases as cases
import numpy as np
import pytest

from minipar.kernels.cuda import conv2d, detect, recurrent
from minipar.kernels.cuda.launcher import launch
from minipar.kernels.cuda.linear import linear_forward
from minipar.kernels.cuda.matmul import RUNGS, matmul, plan_matmul
from minipar.kernels.reference import gru as reference_gru
from minipar.kernels.reference import linear
from minipar.kernels.reference import lstm as reference_lstm
from minipar.kernels.reference import rnn as reference_rnn

usable, reason = detect.status()
pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not usable, reason=f"needs a GPU: {reason}")]


@pytest.fixture
def cupy():
    import cupy

    return cupy


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shapes", [*cases.MATMUL_SHAPES, ((300, 131), (131, 270)), ((7, 65, 33), (33, 129))], ids=str)
def test_matmul_on_the_gpu(shapes, dtype, cupy):
    a, b = (cases.matrix(shape, dtype, "contiguous", seed) for seed, shape in enumerate(shapes))
    c = matmul(cupy.asarray(a), cupy.asarray(b))
    cases.assert_close(c.get(), a.astype(np.float64) @ b.astype(np.float64))


@pytest.mark.parametrize("name", RUNGS)
@pytest.mark.parametrize("shapes", [((300, 131), (131, 270)), ((2, 64, 256), (2, 256, 192))], ids=str)
def test_every_rung_on_the_gpu(shapes, name, cupy):
    a, b = (cases.matrix(shape, "float32", "contiguous", seed) for seed, shape in enumerate(shapes))
    c = launch(partial(plan_matmul, rung=RUNGS[name]), cupy.asarray(a), cupy.asarray(b)).get()
    rounding = {"tf32": 2.0**-10, "bf16": 2.0**-7}.get(name, 1e-6)
    assert (np.abs(c - a.astype(np.float64) @ b) <= rounding * (np.abs(a) @ np.abs(b))).all()


@pytest.mark.parametrize("layouts", list(itertools.product(cases.LAYOUTS, cases.LAYOUTS)), ids="-".join)
@pytest.mark.parametrize("sizes", [(300, 131, 270), (256, 192, 136)], ids=str)
def test_float16_on_the_gpu(sizes, layouts, cupy):
    M, K, N = sizes
    a, b = (cases.matrix(shape, "float16", layout, 0, cupy) for shape, layout in zip(((2, M, K), (2, K, N)), layouts))
    c, (a, b) = matmul(a, b).get(), (x.get().astype(np.float64) for x in (a, b))
    assert c.dtype == np.float16
    assert (np.abs(c - a @ b) <= 2.0**-11 * np.abs(a @ b) + (K + 1) * 2.0**-23 * (np.abs(a) @ np.abs(b))).all()


@pytest.mark.parametrize("outputs", [64, 63])
def test_linear_adds_the_bias_and_cuts_off_on_the_gpu(outputs, cupy):
    x, weight, bias = (
        cases.matrix(shape, "float32", "contiguous", 1) for shape in ((90, 40), (outputs, 40), (1, outputs))
    )
    y = linear_forward(*map(cupy.asarray, (x, weight, bias[0])), relu=True)
    cases.assert_close(y.get(), linear.linear_forward(*(v.astype(np.float64) for v in (x, weight, bias[0])), relu=True))


@pytest.mark.parametrize("layouts", list(itertools.product(cases.LAYOUTS, cases.LAYOUTS)), ids="-".join)
def test_matmul_of_every_layout_on_the_gpu(layouts, cupy):
    # The same views as over NumPy, made on the device: a copy to the GPU would make them contiguous.
    a, b = (
        cases.matrix(shape, "float32", layout, 0, cupy) for shape, layout in zip(((2, 70, 33), (2, 33, 65)), layouts)
    )
    cases.assert_close(matmul(a, b).get(), a.get().astype(np.float64) @ b.get().astype(np.float64))


@pytest.mark.parametrize("case", cases.conv_cases(), ids=lambda case: "-".join(map(str, case)).replace(" ", ""))
def test_conv2d_on_the_gpu(case, cupy):
    x, w, bias, g = case.operands()
    dx, dw, db, dg = map(cupy.asarray, (x, w, bias, g))
    y = conv2d.conv2d_forward(dx, dw, db, *case.geometry)
    cases.assert_close(y.get(), cases.expected_forward(case, x, w, bias))
    grad_input = conv2d.conv2d_grad_input(dg, dw, x.shape, *case.geometry)
    cases.assert_close(grad_input.get(), cases.expected_grad_input(case, g, w, x.shape))
    grad_weight = conv2d.conv2d_grad_weight(dg, dx, w.shape, *case.geometry)
    cases.assert_close(grad_weight.get(), cases.expected_grad_weight(case, g, x, w.shape))


def test_a_layer_of_real_size_has_the_same_bits_twice_on_the_gpu(cupy):
    case = cases.ConvCase("float32", 16, 32, 48, 1, (28, 28), (3, 3), (1, 1), (1, 1), (1, 1))
    x, w, _, g = case.operands()
    first, second = (
        conv2d.conv2d_grad_weight(cupy.asarray(g), cupy.asarray(x), w.shape, *case.geometry).get() for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    cases.assert_close(first, cases.expected_grad_weight(case, g, x, w.shape))


def test_kernels_run_on_the_current_stream_of_the_gpu(cupy):
    a = cupy.ones((512, 512), cupy.float32)
    stream = cupy.cuda.Stream(non_blocking=True)
    stream.wait_event(cupy.cuda.get_current_stream().record())
    with stream:
        c = matmul(matmul(a, a), a)
    stream.synchronize()
    assert (c == 512.0 * 512.0).all()


@pytest.mark.parametrize("hidden", [20, 96, 200])  # one launch for all steps, as many units as fit, a launch a step
@pytest.mark.parametrize("name", ["rnn", "gru", "lstm"])
def test_recurrent_layers_on_the_gpu(name, hidden, cupy):
    check_recurrent(name, hidden, cupy)


def check_recurrent(name, hidden, cupy):
    """Sequences of several lengths, backwards: outputs and all gradients beside the reference's in float64."""
    sizes, inputs, gates = [4, 4, 3, 1, 1], 11, {"rnn": 1, "gru": 3, "lstm": 4}[name]
    rng = np.random.default_rng(hidden)
    shapes = {"x": (sum(sizes), inputs), "h0": (4, hidden), "c0": (4, hidden), "w_ih": (gates * hidden, inputs)}
    shapes |= {"w_hh": (gates * hidden, hidden), "b_ih": (gates * hidden,), "b_hh": (gates * hidden,)}
    given = {key: rng.standard_normal(shape) / max(1, shape[-1]) ** 0.5 for key, shape in shapes.items()}
    if name != "lstm":
        del given["c0"]
    g, g_n = rng.standard_normal((sum(sizes), hidden)), rng.standard_normal((4, hidden))
    last = [None] if name == "lstm" else []  # an LSTM's projection, and the gradient of its memory
    how = (sizes, False, True, *(["tanh"] if name == "rnn" else []))

    def computed(package, put):
        of = getattr(package, f"{name}_sequence"), getattr(package, f"{name}_sequence_backward")
        operands = {key: put(value) for key, value in given.items()}
        h, *states, saved = of[0](*operands.values(), *last, *how)
        weights = operands["w_ih"], operands["w_hh"], *last
        needs = [True] * (len(given) + len(last))
        return [h, *states, *of[1](put(g), put(g_n), *last, operands["x"], saved, *weights, *how, needs)]

    reference_of = {"rnn": reference_rnn, "gru": reference_gru, "lstm": reference_lstm}[name]
    exact = computed(reference_of, np.asarray)
    for here, there in zip(computed(recurrent, lambda a: cupy.asarray(a, cupy.float32)), exact, strict=True):
        assert (here is None) == (there is None)
        if here is not None:
            np.testing.assert_allclose(here.get(), there, rtol=1e-4, atol=1e-4)

"""What a Sequential runs as one node computes what its modules compute one by one, to the bit."""

import itertools
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minipar
from minipar import nn
from minipar.autograd import gradcheck, gradgradcheck
from minipar.ops.conv_pool import PooledConvolution
from minipar.ops.linear_chain import LinearChain


def network(*layers: tuple[int, int, bool, bool], dtype=minipar.float32) -> nn.Sequential:
    """Linear layers of (in, out, bias?, ReLU behind?)."""
    modules: list[nn.Module] = []
    for inputs, outputs, bias, relu in layers:
        modules.append(nn.Linear(inputs, outputs, bias=bias, dtype=dtype))
        modules += [nn.ReLU()] if relu else []
    return nn.Sequential(*modules)


def one_by_one(model, x):
    for module in model:
        x = module(x)
    return x


def gradients(run, model, x):
    model.zero_grad()
    x.grad = None
    y = run(model, x)
    (y * y).sum().backward()
    return [y, x.grad, *[p.grad for p in model.parameters()]]


def same(these, those):
    return all((a is None and b is None) or (minipar.equal(a, b) and a.dtype == b.dtype) for a, b in zip(these, those))


def together(model, x):
    y = model(x)
    assert isinstance(y.grad_fn, LinearChain)
    return y


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_row_of_linear_layers_equals_its_layers_to_the_bit(data):
    sizes = data.draw(st.lists(st.integers(1, 20), min_size=3, max_size=5))
    dtype = data.draw(st.sampled_from([minipar.float32, minipar.float64]))
    model = network(
        *[(a, b, data.draw(st.booleans()), data.draw(st.booleans())) for a, b in itertools.pairwise(sizes)], dtype=dtype
    )
    for p in model.parameters():
        p.requires_grad_(data.draw(st.booleans()))
    x = minipar.randn(*data.draw(st.lists(st.integers(0, 4), max_size=2)), sizes[0], dtype=dtype)
    x.requires_grad_(data.draw(st.booleans()))
    if not any(v.requires_grad for v in (x, *model.parameters())):
        model[0].weight.requires_grad_()
    assert same(gradients(together, model, x), gradients(one_by_one, model, x))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_convolution_relu_and_pooling_equal_the_three_to_the_bit(data):
    draw = data.draw
    groups, dtype = draw(st.integers(1, 2)), draw(st.sampled_from([minipar.float32, minipar.float64]))
    channels, outputs = groups * draw(st.integers(1, 3)), groups * draw(st.sampled_from([1, 4, 16, 17]))
    convolution = nn.Conv2d(
        channels, outputs, draw(st.integers(1, 3)), draw(st.integers(1, 2)), draw(st.integers(0, 2)), groups=groups,
        bias=draw(st.booleans()), padding_mode=draw(st.sampled_from(["zeros", "reflect"])), dtype=dtype,
    )  # fmt: skip
    pool = nn.MaxPool2d(2, draw(st.sampled_from([None, 2, 1])), ceil_mode=draw(st.booleans()))
    model = nn.Sequential(convolution, nn.ReLU(), pool)
    for p in model.parameters():
        p.requires_grad_(draw(st.booleans()))
    images = draw(st.sampled_from([(), (1,), (3,)]))
    size = draw(st.integers(6, 11)), draw(st.integers(6, 11))
    x = minipar.randn(*images, channels, *size, dtype=dtype, requires_grad=draw(st.booleans()))
    if not any(v.requires_grad for v in (x, *model.parameters())):
        x.requires_grad_()

    def run(model, x):
        y = model(x)
        usual = pool.stride in (2, None) and not pool.ceil_mode
        assert isinstance(y.grad_fn, PooledConvolution) == usual or not images
        return y

    assert same(gradients(run, model, x), gradients(one_by_one, model, x))


@pytest.mark.parametrize("watched", [0, 1, 2])
def test_a_hook_sees_what_is_before_the_pooling(watched):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2))
    seen = []
    model[watched].register_forward_hook(lambda module, args, output: seen.append(tuple(output.shape)))
    y = model(minipar.ones(1, 1, 6, 6))
    assert not isinstance(y.grad_fn, PooledConvolution)
    assert seen == [(1, 2, 4, 4) if watched < 2 else (1, 2, 2, 2)]


def test_the_same_layer_twice_in_a_row():
    layer = nn.Linear(3, 3)
    model = nn.Sequential(layer, nn.ReLU(), layer)
    x = minipar.randn(2, 3, requires_grad=True)
    assert same(gradients(together, model, x), gradients(one_by_one, model, x))


@pytest.mark.parametrize("relu", [False, True])
def test_first_and_second_derivatives_of_a_row(relu):
    minipar.manual_seed(0)
    x = minipar.randn(3, 2, dtype=minipar.float64, requires_grad=True)
    shapes = [(4, 2), (4,), (3, 4), None]
    parameters = [s and minipar.randn(*s, dtype=minipar.float64, requires_grad=True) for s in shapes]

    def run(x, w, b, v):
        return LinearChain((relu, relu))(x, w, b, v, None)

    given = (x, *parameters[:3])
    assert gradcheck(run, given)
    assert gradgradcheck(run, given)


def test_after_no_grad_nothing_is_kept():
    model = network((2, 3, True, True), (3, 1, True, False))
    with minipar.no_grad():
        assert not model(minipar.ones(1, 2)).requires_grad


def watched(model):
    seen = []
    model[1].register_forward_hook(lambda module, args, output: seen.append(output))
    return seen


def test_a_hook_sees_what_is_between():
    model = network((2, 3, True, True), (3, 1, True, False))
    model(minipar.ones(1, 2))
    seen = watched(model)
    y = model(minipar.ones(1, 2))
    assert not isinstance(y.grad_fn, LinearChain)
    assert [tuple(h.shape) for h in seen] == [(1, 3)]


@pytest.mark.parametrize("kind", [nn.Linear, nn.ReLU, nn.Conv2d, nn.MaxPool2d])
@pytest.mark.parametrize("of_class", [False, True])
def test_a_forward_that_somebody_replaces_is_the_one_that_runs(kind, of_class, monkeypatch):
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8, 3), nn.ReLU(), nn.Linear(3, 1)
    )
    model(minipar.ones(1, 1, 6, 6))
    ran, own = [], kind.forward

    def told(module, input):
        ran.append(module)
        return own(module, input)

    ours = [module for module in model if type(module) is kind]
    if of_class:
        monkeypatch.setattr(kind, "forward", told)
    else:
        ours = ours[:1]
        ours[0].forward = lambda input: told(ours[0], input)
    model(minipar.ones(1, 1, 6, 6))
    assert ran == ours


def test_a_weight_that_a_hook_computes_is_looked_up():
    model = network((2, 3, True, True), (3, 1, True, False))
    x = minipar.ones(1, 2)
    before = model(x)
    nn.utils.weight_norm(model[2])
    assert minipar.allclose(model(x), before)
    model[2].weight_g.data = model[2].weight_g.data * 2
    assert not minipar.allclose(model(x), before)


def test_a_module_that_was_put_in_another_place_is_seen():
    model = network((2, 3, True, True), (3, 1, True, False))
    model(minipar.ones(1, 2))
    model[1] = nn.Tanh()
    assert same([model(minipar.ones(1, 2))], [one_by_one(model, minipar.ones(1, 2))])


@pytest.mark.parametrize("changed", [0, 2])
def test_a_weight_changed_in_place_before_the_backward_pass_is_an_error(changed):
    model = network((2, 3, True, True), (3, 1, True, False))
    y = model(minipar.ones(1, 2, requires_grad=True)).sum()
    with minipar.no_grad():
        model[changed].weight.mul_(2)
    with pytest.raises(RuntimeError, match="changed it in place"):
        y.backward()


def test_a_first_weight_that_no_gradient_needs_may_change():
    model = network((2, 3, True, True), (3, 1, True, False))
    y = model(minipar.ones(1, 2)).sum()
    with minipar.no_grad():
        model[0].weight.mul_(2)
    y.backward()
    assert model[0].weight.grad is not None


def test_a_row_that_does_not_fit_is_refused_as_its_layers_are():
    with pytest.raises(RuntimeError, match=r"weight \(1, 4\), got input of shape \(1, 3\)"):
        network((2, 3, True, True), (4, 1, True, False))(minipar.ones(1, 2))
    with pytest.raises(RuntimeError, match="float64"):
        network((2, 3, True, True), (3, 1, True, False))(minipar.ones(1, 2, dtype=minipar.float64))


def test_checkpoint_runs_a_row_again():
    model = network((2, 3, True, True), (3, 1, True, True))
    x = minipar.randn(4, 2, requires_grad=True)

    def saving(model, x):
        return minipar.utils.checkpoint.checkpoint(model, x, use_reentrant=False)

    assert same(gradients(saving, model, x), gradients(one_by_one, model, x))


@pytest.mark.parametrize("relu", [True, False])
def test_without_a_gradient_no_layer_s_output_is_kept(relu):
    width, rows, count = 256, 512, 8
    layers = [layer for _ in range(count) for layer in (nn.Linear(width, width), nn.ReLU())[: 1 + relu]]
    net, x = nn.Sequential(*layers), minipar.ones(rows, width)
    output = 4 * rows * width
    peaks = []
    for mode in (minipar.enable_grad, minipar.no_grad):
        with mode():
            net(x)
            tracemalloc.start()
            net(x)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[0] > (count - 0.5) * output
    assert peaks[1] < 2.5 * output

"""Every layer beside PyTorch's of the same state_dict, in float64: outputs, and gradients of inputs and parameters."""

import warnings

import numpy as np
import pytest

import minipar

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
BOTH = (minipar, torch)


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


@pytest.fixture(autouse=True)
def _reference_kernels():
    """The compiled kernels have tests of their own; here nothing is to wait for a compiler."""
    with minipar.use_kernels("reference"):
        yield


def compare(make, *arrays):
    """Build the layer in both libraries, load theirs into ours, run forward and backward, compare everything."""
    theirs = make(torch.nn).double()
    ours = make(minipar.nn).double()
    answer = ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    assert answer == ([], [])
    assert repr(ours) == repr(theirs)
    results = []
    for T, layer in ((minipar, ours), (torch, theirs)):
        inputs = [T.tensor(a, requires_grad=a.dtype == np.float64) for a in arrays]
        outputs = layer(*inputs)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        loss = 0
        for i, y in enumerate(outputs):
            if y.is_floating_point():
                loss = loss + (y * T.tensor(numbers(*y.shape, seed=50 + i))).sum()
        if loss.requires_grad:
            loss.backward()
        found = {f"output {i}": y.detach().numpy() for i, y in enumerate(outputs)}
        found |= {f"input {i}": x.grad.numpy() for i, x in enumerate(inputs) if x.grad is not None}
        found |= {name: p.grad.numpy() for name, p in layer.named_parameters()}
        results.append(found)
    assert results[0].keys() == results[1].keys()
    for name, expected in results[1].items():
        assert results[0][name].dtype == expected.dtype, name
        np.testing.assert_allclose(results[0][name], expected, rtol=1e-10, atol=1e-11, err_msg=name)


@pytest.mark.parametrize("shape", [(5, 3), (3,), (2, 4, 3), (0, 3), (2, 0, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(shape, bias):
    compare(lambda nn: nn.Linear(3, 4, bias=bias), numbers(*shape))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"bias": False},
        {"stride": 2},
        {"stride": (2, 1), "padding": (1, 2)},
        {"padding": 2, "dilation": 2},
        {"groups": 2},
        {"padding": "same"},
        {"padding": "valid", "dilation": (1, 2)},
    ],
    ids=str,
)
@pytest.mark.parametrize("shape", [(2, 4, 7, 6), (4, 7, 6)], ids=["batch", "single"])
def test_conv2d(options, shape):
    compare(lambda nn: nn.Conv2d(4, 6, 3, **options), numbers(*shape))


def test_conv2d_of_an_oblong_window_and_one_channel_a_group():
    compare(lambda nn: nn.Conv2d(4, 8, (1, 5), padding=(0, 2), groups=4), numbers(3, 4, 5, 8))


@pytest.mark.parametrize(
    "arguments",
    [(2,), (3, 1), (3, 2, 1), ((2, 3), (1, 2)), (2, 2, 0, 2), (2, 3, 1, 1, True), (2, 2, 0, 1, False, True)],
)
@pytest.mark.parametrize("shape", [(2, 3, 8, 7), (3, 8, 7)], ids=["batch", "single"])
def test_max_pool2d(arguments, shape):
    def make(nn):
        names = ("kernel_size", "stride", "padding", "dilation", "return_indices", "ceil_mode")
        return nn.MaxPool2d(**dict(zip(names, arguments)))

    compare(make, numbers(*shape))


@pytest.mark.parametrize(
    "arguments",
    [(2,), (3, 1), (3, 2, 1), ((2, 3), (1, 2)), (3, 2, 1, True), (3, 2, 1, True, False), (2, 2, 0, False, True, 3)],
)
@pytest.mark.parametrize("shape", [(2, 3, 8, 7), (3, 8, 7)], ids=["batch", "single"])
def test_avg_pool2d(arguments, shape):
    compare(lambda nn: nn.AvgPool2d(*arguments), numbers(*shape))


@pytest.mark.parametrize("arguments", [(), (2,), (0, 1), (-2, -1), (0,)])
def test_flatten(arguments):
    compare(lambda nn: nn.Flatten(*arguments), numbers(2, 3, 4, 5))


@pytest.mark.parametrize("shape", [(6,), (2, 3), (), (0,)])
@pytest.mark.parametrize("padding", [None, 1, -1])
def test_embedding(shape, padding):
    indices = np.random.default_rng(3).integers(0, 5, shape)
    compare(lambda nn: nn.Embedding(5, 3, padding_idx=padding), np.asarray(indices, np.int64))


@pytest.mark.parametrize("shape", [(3, 4), (), (0, 2)])
@pytest.mark.parametrize("name", ["ReLU", "Tanh", "Sigmoid"])
def test_activations(name, shape):
    compare(lambda nn: getattr(nn, name)(), np.asarray(numbers(*shape)))


def test_relu_at_zero_and_in_place():
    compare(lambda nn: nn.ReLU(), np.array([-1.0, 0.0, -0.0, 2.0]))
    compare(lambda nn: nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True), nn.Linear(4, 1)), numbers(2, 3))


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("bias", [True, False])
def test_rnn(layers, bidirectional, batch_first, nonlinearity, bias):
    def make(nn):
        return nn.RNN(
            3,
            4,
            layers,
            nonlinearity=nonlinearity,
            bias=bias,
            batch_first=batch_first,
            bidirectional=bidirectional,
        )

    states = layers * (1 + bidirectional)
    compare(make, numbers(5, 2, 3) if not batch_first else numbers(2, 5, 3))
    compare(make, numbers(2, 5, 3), numbers(states, 2 if batch_first else 5, 4, seed=1))
    compare(make, numbers(5, 3))
    compare(make, numbers(5, 3), numbers(states, 4, seed=1))


def test_rnn_of_one_step():
    compare(lambda nn: nn.RNN(3, 4, bidirectional=True), numbers(1, 2, 3))


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(3, 4), (), (2, 0)])
def test_mse_loss(reduction, shape):
    with np.errstate(all="ignore"):
        compare(
            lambda nn: nn.MSELoss(reduction=reduction), np.asarray(numbers(*shape)), np.asarray(numbers(*shape, seed=1))
        )


def targets(*shape, classes=5, ignored=None):
    drawn = np.random.default_rng(4).integers(0, classes, shape)
    if ignored is not None:
        drawn.reshape(-1)[::2] = ignored
    return np.asarray(drawn, np.int64)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("shape", "target"), [((6, 5), (6,)), ((5,), ()), ((2, 5, 3), (2, 3)), ((2, 5, 3, 2), (2, 3, 2))]
)
@pytest.mark.parametrize("ignored", [None, -100, 2])
def test_cross_entropy(reduction, weighted, shape, target, ignored):
    if target == () and ignored is not None:
        ignored = None

    def make(nn):
        T = minipar if nn is minipar.nn else torch
        weight = T.tensor(np.linspace(0.5, 2, 5)) if weighted else None
        return nn.CrossEntropyLoss(weight, ignore_index=-100 if ignored is None else ignored, reduction=reduction)

    compare(make, numbers(*shape) * 3, targets(*target, ignored=ignored))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_cross_entropy_where_nothing_counts(reduction):
    """The mean of no losses is NaN; its gradient is 0."""

    def value(T):
        x = T.tensor(numbers(3, 5), requires_grad=True)
        loss = T.nn.functional.cross_entropy(x, T.tensor(np.full(3, -100)), reduction=reduction)
        loss.backward()
        return loss.detach().numpy(), x.grad.numpy()

    for ours, theirs in zip(value(minipar), value(torch)):
        np.testing.assert_array_equal(ours, theirs)


def test_denominators():
    F = minipar.nn.functional
    x, y = minipar.tensor(numbers(6, 5), requires_grad=True), minipar.tensor(numbers(6, 5, seed=1))
    classes = minipar.tensor(targets(6, ignored=3))
    weight = minipar.tensor(np.linspace(0.5, 2, 5))
    kept = classes.numpy()[classes.numpy() != 3]
    assert F.mse_loss(x, y).node.denominator == 30
    assert not F.mse_loss(x, y, reduction="sum").node.divide
    assert F.cross_entropy(x, classes).node.denominator == 6
    assert F.cross_entropy(x, classes, ignore_index=3).node.denominator == len(kept) == 3
    weighted = F.cross_entropy(x, classes, weight, ignore_index=3).node
    assert weighted.denominator == pytest.approx(weight.numpy()[kept].sum())


def test_losses_of_parts_combine_by_their_denominators():
    """Σ lossᵢ·denominatorᵢ / Σ denominatorᵢ is the loss of the whole, as every parallel strategy relies on."""
    F = minipar.nn.functional
    x, t = numbers(7, 5), targets(7, ignored=-100)
    weight = minipar.tensor(np.linspace(0.5, 2, 5))

    def loss(rows):
        return F.cross_entropy(minipar.tensor(x[rows], requires_grad=True), minipar.tensor(t[rows]), weight)

    parts = [loss(slice(0, 4)), loss(slice(4, 7))]
    whole = sum(float(p.detach()) * p.node.denominator for p in parts) / sum(p.node.denominator for p in parts)
    assert whole == pytest.approx(float(loss(slice(None)).detach()), rel=1e-13)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda T: T.nn.Linear(3, 2)(T.ones(4, 5)), RuntimeError),
        (lambda T: T.nn.Linear(3, 2)(T.ones(4, 3, dtype=T.float64)), RuntimeError),
        (lambda T: T.nn.Conv2d(3, 4, 3)(T.ones(1, 2, 5, 5)), RuntimeError),
        (lambda T: T.nn.Conv2d(3, 4, 3)(T.ones(5, 5)), RuntimeError),
        (lambda T: T.nn.Conv2d(3, 4, 3)(T.ones(1, 3, 2, 5)), (RuntimeError, ValueError)),
        (lambda T: T.nn.Conv2d(3, 4, 3, groups=2), ValueError),
        (lambda T: T.nn.Conv2d(4, 3, 3, groups=2), ValueError),
        (lambda T: T.nn.Conv2d(3, 4, 3, groups=0), ValueError),
        (lambda T: T.nn.Conv2d(3, 4, 3, padding="some"), ValueError),
        (lambda T: T.nn.Conv2d(3, 4, 3, padding="same", stride=2), ValueError),
        (lambda T: T.nn.MaxPool2d(2)(T.ones(2, 2)), (RuntimeError, IndexError)),
        (lambda T: T.nn.MaxPool2d(2, padding=2)(T.ones(1, 1, 4, 4)), RuntimeError),
        (lambda T: T.nn.AvgPool2d(2)(T.ones(2, 2)), (RuntimeError, IndexError)),
        (lambda T: T.nn.MaxPool2d(5)(T.ones(1, 1, 4, 4)), (RuntimeError, ValueError)),
        (lambda T: T.nn.Embedding(3, 2)(T.tensor([3])), IndexError),
        (lambda T: T.nn.Embedding(3, 2)(T.tensor([-1])), IndexError),
        (lambda T: T.nn.RNN(3, 2)(T.ones(4, 1, 2)), RuntimeError),
        (lambda T: T.nn.RNN(3, 2)(T.ones(4, 1, 3), T.ones(2, 1, 2)), RuntimeError),
        (lambda T: T.nn.RNN(3, 2)(T.ones(4, 3), T.ones(1, 1, 2)), RuntimeError),
        (lambda T: T.nn.RNN(3, 2, nonlinearity="sin"), ValueError),
        (lambda T: T.nn.RNN(3, 0), ValueError),
        (lambda T: T.nn.RNN(3, 2, 0), ValueError),
        (lambda T: T.nn.Flatten(5)(T.ones(2, 2)), IndexError),
        (lambda T: T.nn.CrossEntropyLoss()(T.ones(2, 3), T.tensor([1, 3])), IndexError),
        (lambda T: T.nn.MSELoss(reduction="avg")(T.ones(2), T.ones(2)), ValueError),
        (lambda T: T.nn.CrossEntropyLoss(reduction="avg")(T.ones(2, 3), T.tensor([1, 2])), ValueError),
    ],
)
def test_errors_as_in_pytorch(make, error):
    for T in BOTH:
        with pytest.raises(error):
            make(T)


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda nn: nn.Embedding(3, 2, sparse=True), "sparse"),
        (lambda nn: nn.MSELoss(size_average=True), "size_average"),
        (lambda nn: nn.MSELoss(reduce=True), "reduce"),
        (lambda nn: nn.CrossEntropyLoss(size_average=True), "size_average"),
    ],
)
def test_what_is_not_supported_says_so_when_it_is_made(make, argument):
    with pytest.raises(NotImplementedError, match=argument):
        make(minipar.nn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        make(torch.nn)  # it is PyTorch's name


@pytest.mark.parametrize("name", ["Linear", "Conv2d", "Embedding", "RNN"])
def test_dtype_of_layers(name):
    for T in BOTH:
        arguments = (2, 3, 1) if name == "Conv2d" else (2, 3)
        layer = getattr(T.nn, name)(*arguments, dtype=T.float64, device="cpu")
        assert {p.dtype for p in layer.parameters()} == {T.float64}
        layer = getattr(T.nn, name)(*arguments)
        assert {p.dtype for p in layer.parameters()} == {T.float32}


def test_functional_has_the_layers():
    """functional's names, argument order and defaults, called as a PyTorch script would."""

    def results(T):
        F = T.nn.functional
        x, image = T.tensor(numbers(3, 4)), T.tensor(numbers(2, 2, 6, 6))
        w, b, window = T.tensor(numbers(5, 4)), T.tensor(numbers(5)), T.tensor(numbers(4, 1, 3, 3))
        y, winners = F.max_pool2d(image, 2, 1, 1, 1, False, True)
        return [
            F.linear(x, w, b),
            F.conv2d(image, window, T.tensor(numbers(4)), 2, 1, 1, 2),
            y,
            winners,
            F.avg_pool2d(image, 3, 2, 1, True, False),
            F.embedding(T.tensor([[0, 2]]), x),
            F.relu(x),
            F.tanh(x),
            F.sigmoid(x),
            F.softmax(x, dim=1),
            F.log_softmax(x, dim=0),
            F.mse_loss(x, x * 2, reduction="sum"),
            F.cross_entropy(x, T.tensor([0, 3, 1])),
            F.relu(x, inplace=True),
            x,
        ]

    for ours, theirs in zip(results(minipar), results(torch)):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12, atol=1e-14)

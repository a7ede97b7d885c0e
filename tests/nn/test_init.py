"""Initial values: the distributions of torch.nn.init (bounds and moments), and the same numbers from the same seed."""

import math

import numpy as np
import pytest

import minipar
from minipar import nn
from minipar.nn import init


def drawn(fill, *shape, dtype=minipar.float32):
    minipar.manual_seed(3)
    return fill(minipar.zeros(*shape, dtype=dtype)).numpy()


def assert_uniform(values, bound):
    """All within ±bound, close to both ends, with the variance bound²/3 (five standard errors)."""
    n = values.size
    assert np.abs(values).max() <= bound * (1 + 1e-6)
    assert values.max() > bound * (1 - 20 / n)
    assert values.min() < -bound * (1 - 20 / n)
    assert abs(values.mean()) < 5 * bound / math.sqrt(3 * n)
    assert values.var() == pytest.approx(bound**2 / 3, rel=5 * math.sqrt(0.8 / n))


@pytest.mark.parametrize("dtype", [minipar.float32, minipar.float64])
def test_uniform(dtype):
    values = drawn(lambda t: init.uniform_(t, -3, 3), 50, 200, dtype=dtype)
    assert values.dtype == dtype
    assert_uniform(values, 3)
    assert 2 <= drawn(lambda t: init.uniform_(t, 2, 5), 1000).min() < 2.1


@pytest.mark.parametrize("dtype", [minipar.float32, minipar.float64])
def test_normal(dtype):
    values = drawn(lambda t: init.normal_(t, 2, 3), 100, 100, dtype=dtype)
    assert values.dtype == dtype
    standard = (values.astype(np.float64) - 2) / 3
    assert abs(standard.mean()) < 0.05
    assert standard.var() == pytest.approx(1, abs=0.07)
    assert (standard**3).mean() == pytest.approx(0, abs=0.12)
    assert (standard**4).mean() == pytest.approx(3, abs=0.5)


def test_constants():
    assert (drawn(lambda t: init.constant_(t, 2.5), 3, 2) == 2.5).all()
    assert (drawn(init.ones_, 3, 2) == 1).all()
    assert (drawn(lambda t: init.zeros_(init.ones_(t)), 3, 2) == 0).all()


@pytest.mark.parametrize("shape", [(40, 300), (30, 20, 3, 5)])
@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize(("slope", "nonlinearity"), [(0, "leaky_relu"), (math.sqrt(5), "leaky_relu"), (0, "relu")])
def test_kaiming_uniform(shape, mode, slope, nonlinearity):
    window = math.prod(shape[2:])
    fan = (shape[1] if mode == "fan_in" else shape[0]) * window
    values = drawn(lambda t: init.kaiming_uniform_(t, slope, mode, nonlinearity), *shape)
    assert_uniform(values, math.sqrt(2 / (1 + slope**2)) * math.sqrt(3 / fan))


def test_xavier_uniform():
    assert_uniform(drawn(lambda t: init.xavier_uniform_(t, 2.0), 40, 300), 2 * math.sqrt(6 / 340))


def test_gains_are_pytorchs():
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    for name in (*init.fans._GAINS, "leaky_relu"):
        assert init.calculate_gain(name) == pytest.approx(torch.nn.init.calculate_gain(name))
    assert init.calculate_gain("leaky_relu", 0.3) == pytest.approx(torch.nn.init.calculate_gain("leaky_relu", 0.3))


def test_errors():
    weight = minipar.zeros(3, 2)
    with pytest.raises(ValueError, match="shape \\(3,\\)"):
        init.xavier_uniform_(minipar.zeros(3))
    with pytest.raises(ValueError, match="mode must be 'fan_in' or 'fan_out', not 'fan'"):
        init.kaiming_uniform_(weight, mode="fan")
    with pytest.raises(ValueError, match="not 'gelu2'"):
        init.calculate_gain("gelu2")


def test_init_works_on_parameters_in_a_buffer_and_with_a_generator():
    layer = nn.Linear(3, 4)
    (buffer,) = nn.parameter.flatten(layer.parameters())
    assert init.ones_(layer.weight) is layer.weight
    assert layer.weight.in_buffer()
    assert buffer.data.sum() == pytest.approx(12 + layer.bias.array.sum(), rel=1e-5)
    draws = [init.normal_(minipar.zeros(5), generator=minipar.Generator().manual_seed(4)).tolist() for _ in range(2)]
    assert draws[0] == draws[1]


@pytest.mark.parametrize(
    ("make", "fan_in"),
    [
        (lambda: nn.Linear(50, 200), 50),
        (lambda: nn.Conv2d(8, 60, (3, 4), groups=2), 48),
        (lambda: nn.RNN(30, 50, 2, bidirectional=True), 50),
    ],
    ids=["linear", "conv", "rnn"],
)
def test_layers_start_uniform(make, fan_in):
    minipar.manual_seed(0)
    layer = make()
    for p in layer.parameters():
        assert_uniform(p.detach().numpy(), 1 / math.sqrt(fan_in))


def test_embedding_starts_normal_with_a_zero_row():
    minipar.manual_seed(0)
    weight = nn.Embedding(200, 50, padding_idx=-1).weight.detach().numpy()
    assert (weight[199] == 0).all()
    assert weight[:199].mean() == pytest.approx(0, abs=0.05)
    assert weight[:199].std() == pytest.approx(1, abs=0.04)


def test_same_seed_same_layer_next_layer_other():
    def weights(seed):
        minipar.manual_seed(seed)
        return [nn.Linear(4, 4).weight.tolist() for _ in range(2)]

    assert weights(1) == weights(1)
    assert weights(1)[0] != weights(1)[1]
    assert weights(1)[0] != weights(2)[0]


def test_linear_without_inputs():
    layer = nn.Linear(1, 3)
    assert layer(minipar.zeros(2, 1)).shape == (2, 3)


def largest_gap(ours, theirs):
    """Kolmogorov and Smirnov's statistic: the largest distance of two empirical distribution functions."""
    ours, theirs = np.sort(np.ravel(ours)), np.sort(np.ravel(theirs))
    at = np.concatenate([ours, theirs])
    shares = [np.searchsorted(values, at, side="right") / len(values) for values in (ours, theirs)]
    return np.abs(shares[0] - shares[1]).max()


SHAPE = (40, 10, 5, 5)
SAME = {
    "uniform": ("uniform_", SHAPE, {"a": -2.0, "b": 5.0}),
    "normal": ("normal_", SHAPE, {"mean": 2.0, "std": 3.0}),
    "trunc": ("trunc_normal_", SHAPE, {}),
    "trunc_narrow": ("trunc_normal_", SHAPE, {"std": 2.0, "a": -0.3, "b": 0.8}),
    "trunc_one_sided": ("trunc_normal_", SHAPE, {"mean": 1.0, "std": 0.5, "a": 1.5, "b": 3.0}),
    "trunc_tail": ("trunc_normal_", SHAPE, {"mean": 1.0, "std": 0.5, "a": 1.9, "b": 3.0}),
    "xavier_uniform": ("xavier_uniform_", SHAPE, {"gain": 1.5}),
    "xavier_normal": ("xavier_normal_", SHAPE, {"gain": 1.5}),
    "kaiming_uniform": ("kaiming_uniform_", SHAPE, {"a": 0.3, "mode": "fan_out"}),
    "kaiming_normal": ("kaiming_normal_", SHAPE, {"nonlinearity": "selu"}),
    "kaiming_normal_out": ("kaiming_normal_", SHAPE, {"a": 2, "mode": "FAN_OUT"}),
    "orthogonal": ("orthogonal_", (120, 80), {"gain": 3.0}),
    "sparse": ("sparse_", (120, 80), {"sparsity": 0.25, "std": 2.0}),
}


@pytest.mark.parametrize("name", SAME)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_distribution_is_pytorchs(name, dtype):
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    function, shape, options = SAME[name]
    values = []
    for T in (minipar, torch):
        T.manual_seed(0)
        tensor = T.zeros(*shape, dtype=getattr(T, dtype))
        assert getattr(T.nn.init, function)(tensor, **options) is tensor
        values.append(tensor.numpy())
    ours, theirs = values
    assert ours.dtype == theirs.dtype
    assert largest_gap(ours, theirs) < 1.95 * math.sqrt(2 / ours.size)  # exceeded by chance once in a thousand
    assert ours.mean() == pytest.approx(float(theirs.mean()), abs=6 * float(theirs.std()) / math.sqrt(theirs.size / 2))
    assert ours.std() == pytest.approx(float(theirs.std()), rel=0.05)


def test_a_wrong_spread_would_be_noticed():
    rng = np.random.default_rng(0)
    limit = 1.95 * math.sqrt(2 / 20000)
    assert largest_gap(rng.normal(size=20000), rng.normal(size=20000)) < limit
    assert largest_gap(rng.normal(size=20000), 1.08 * rng.normal(size=20000)) > limit


@pytest.mark.parametrize(("a", "b"), [(-0.3, 0.8), (1.5, 9.0), (-2.0, 2.0)])
@pytest.mark.parametrize("dtype", [minipar.float16, minipar.float32, minipar.float64])
def test_truncated_normal_stays_inside(a, b, dtype):
    values = drawn(lambda t: init.trunc_normal_(t, a=a, b=b), 50, 50, dtype=dtype)
    assert values.min() >= dtype.type(a)
    assert values.max() <= dtype.type(b)
    assert len(np.unique(values)) > 500


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (25, 25), (6, 4, 3, 2), (30, 4, 3, 2)])
def test_orthogonal(shape):
    w = drawn(lambda t: init.orthogonal_(t, 2.0), *shape, dtype=minipar.float64).reshape(shape[0], -1)
    gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-12)


def test_orthogonal_matrices_come_with_both_determinants():
    minipar.manual_seed(0)
    draws = [init.orthogonal_(minipar.zeros(3, 3, dtype=minipar.float64)).numpy() for _ in range(40)]
    signs = [np.sign(np.linalg.det(w)) for w in draws]
    assert {-1.0, 1.0} == {round(sign) for sign in signs}
    assert abs(np.mean([w[0, 0] for w in draws])) < 0.3  # QR without the signs would have one here


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (4, 4), (0, 3)])
def test_eye_is_pytorchs(shape):
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    assert init.eye_(minipar.ones(*shape)).tolist() == torch.nn.init.eye_(torch.ones(*shape)).tolist()


@pytest.mark.parametrize(
    ("shape", "groups"), [((4, 3, 5), 1), ((3, 4, 2, 3), 1), ((6, 2, 3, 4), 3), ((6, 4, 3), 2), ((4, 2, 3, 1, 2), 2)]
)
def test_dirac_is_pytorchs(shape, groups):
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    ours, theirs = (T.nn.init.dirac_(T.ones(*shape), groups) for T in (minipar, torch))
    assert ours.tolist() == theirs.tolist()


@pytest.mark.parametrize(("rows", "sparsity", "zeros"), [(10, 0.0, 0), (10, 0.31, 4), (10, 1.0, 10), (7, 0.5, 4)])
def test_sparse_columns(rows, sparsity, zeros):
    values = drawn(lambda t: init.sparse_(t, sparsity), rows, 40)
    assert ((values == 0).sum(0) == zeros).all()
    if 0 < zeros < rows:
        assert ((values == 0).sum(1) > 0).all(), "every row has its turn"


def test_init_functions_draw_from_the_generator_given():
    for function in (
        init.uniform_,
        init.normal_,
        init.trunc_normal_,
        init.xavier_uniform_,
        init.xavier_normal_,
        init.kaiming_uniform_,
        init.kaiming_normal_,
        init.orthogonal_,
        lambda t, generator: init.sparse_(t, 0.5, generator=generator),
    ):
        minipar.manual_seed(1)
        before = minipar.rand(3).tolist()
        minipar.manual_seed(1)
        draws = [
            function(minipar.zeros(4, 3), generator=minipar.Generator().manual_seed(seed)).tolist()
            for seed in (4, 4, 5)
        ]
        assert draws[0] == draws[1] != draws[2]
        assert minipar.rand(3).tolist() == before, "this thread's generator was left alone"


def test_init_of_a_parameter_is_not_recorded():
    weight = nn.Parameter(minipar.zeros(3, 3))
    for function in (init.eye_, init.orthogonal_, init.xavier_normal_, lambda t: init.sparse_(t, 0.3)):
        assert function(weight) is weight
        assert weight.is_leaf
        assert weight.requires_grad


def test_old_names_warn_and_work():
    with pytest.warns(FutureWarning, match=r"`nn\.init\.constant` is now deprecated in favor of `nn\.init\.constant_`"):
        assert init.constant(minipar.zeros(2), 3.0).tolist() == [3, 3]
    for name in ("uniform", "normal", "eye", "dirac", "xavier_uniform", "xavier_normal", "kaiming_uniform"):
        assert getattr(init, name).__name__ == name
        assert callable(getattr(init, f"{name}_"))


def test_init_warnings():
    with pytest.warns(UserWarning, match="mean is more than 2 std from"):
        init.trunc_normal_(minipar.zeros(5), mean=5.0, a=1.0, b=2.0)
    for function in (init.kaiming_uniform_, init.kaiming_normal_):
        with pytest.warns(UserWarning, match="zero-element tensors is a no-op"):
            function(minipar.zeros(0, 3))


@pytest.mark.parametrize(
    "call",
    [
        lambda T, i: i.uniform_(T.zeros(3), 2.0, 1.0),
        lambda T, i: i.normal_(T.zeros(3), std=-1.0),
        lambda T, i: i.eye_(T.zeros(3)),
        lambda T, i: i.dirac_(T.zeros(3, 3)),
        lambda T, i: i.dirac_(T.zeros(3, 3, 3), 2),
        lambda T, i: i.xavier_uniform_(T.zeros(3)),
        lambda T, i: i.xavier_normal_(T.zeros(3)),
        lambda T, i: i.kaiming_uniform_(T.zeros(3)),
        lambda T, i: i.kaiming_normal_(T.zeros(3, 3), mode="fan"),
        lambda T, i: i.kaiming_normal_(T.zeros(3, 3), nonlinearity="gelu"),
        lambda T, i: i.orthogonal_(T.zeros(3)),
        lambda T, i: i.sparse_(T.zeros(3), 0.5),
        lambda T, i: i.calculate_gain("leaky_relu", True),
        lambda T, i: i.calculate_gain("gelu"),
    ],
)
def test_init_errors_are_pytorchs(call):
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")

    def raised(T):
        with pytest.raises(Exception) as caught:
            call(T, T.nn.init)
        return caught.type

    assert raised(minipar) is raised(torch)

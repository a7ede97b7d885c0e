"""Exported models, run by ONNX's own reference evaluator: the numbers are minipar's."""

import io
import sys
from importlib import import_module

import numpy as np
import pytest

import minipar
from minipar import nn
from minipar.nn import functional as F

onnx = pytest.importorskip("onnx", reason="needs onnx: pip install onnx")

ROWS = {"x": {0: "rows"}}


class Calls(nn.Module):
    """A model of one function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, *inputs):
        return self.function(*inputs)


def x(*shape):
    return minipar.tensor(np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32))


def numbers(*shape, below=5):
    return minipar.tensor(np.random.default_rng(0).integers(0, below, shape))


def flat(results):
    return [part for one in results for part in flat(one)] if isinstance(results, (tuple, list)) else [results]


def run(proto, *inputs):
    names = [given.name for given in proto.graph.input]
    evaluator = import_module("onnx.reference").ReferenceEvaluator(proto)
    return evaluator.run(None, {name: given.numpy() for name, given in zip(names, inputs)})


def same(model, proto, *inputs):
    with minipar.no_grad():
        wanted = flat(model.eval()(*inputs))
    got = run(proto, *inputs)
    assert len(wanted) == len(got)
    for ours, theirs in zip(wanted, got):
        assert theirs.dtype == ours.dtype
        np.testing.assert_allclose(theirs, ours.numpy(), rtol=1e-5, atol=1e-5)


def exported(model, *inputs, **options):
    minipar.onnx.export(model, inputs, file := io.BytesIO(), input_names=["x"], **options)
    proto = onnx.load_from_string(file.getvalue())
    onnx.checker.check_model(proto, full_check=True)
    return proto


def convolutional():
    layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(8, 8, 3, stride=2, dilation=2, groups=4), nn.AvgPool2d(1), nn.AdaptiveAvgPool2d(1)]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(8, 3), nn.LogSoftmax(dim=1))
    model[1].running_mean.copy_(x(8))
    model[1].running_var.copy_(x(8) ** 2 + 0.5)
    return model


def classifier():
    return nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(12, 2))


MODELS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(), nn.Linear(8, 3)), [x(5, 4)], 0),
    "cnn": (convolutional, [x(2, 3, 14, 14)], 0),
    "conv1d same": (lambda: nn.Conv1d(2, 4, 4, padding="same"), [x(2, 2, 9)], 0),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1), [x(2, 4, 5, 6)], 0),
    "pool1d": (lambda: nn.Sequential(nn.MaxPool1d(2), nn.ConvTranspose1d(3, 2, 3, stride=2)), [x(2, 3, 9)], 0),
    "upsample": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), [x(2, 3, 4, 5)], 0),
    "uneven pool": (lambda: nn.AdaptiveAvgPool2d((2, 3)), [x(2, 3, 5, 6)], 0),
    "embedding": (classifier, [numbers(2, 3)], 0),
    "rnn": (lambda: nn.RNN(3, 4), [x(5, 2, 3)], 1),
    "rnn batch first": (lambda: nn.RNN(3, 4, 2, batch_first=True), [x(2, 5, 3)], 0),
    "lstm": (lambda: nn.LSTM(3, 4, 2, bias=False), [x(5, 2, 3)], 1),
    "lstm state": (lambda: nn.LSTM(3, 4), [x(5, 2, 3), (x(1, 2, 4), x(1, 2, 4))], None),
    "gru both ways": (lambda: nn.GRU(3, 4, 2, bidirectional=True, batch_first=True), [x(2, 5, 3)], 0),
    "gru any length": (lambda: nn.GRU(3, 4, 2), [x(5, 2, 3)], 0),
    "cell": (lambda: nn.GRUCell(3, 4), [x(2, 3)], 0),
    "encoder": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), [x(2, 5, 8)], 0),
    "pre-norm": (lambda: nn.TransformerEncoderLayer(8, 2, 16, norm_first=True, activation="gelu"), [x(5, 2, 8)], 1),
    "decoder": (lambda: nn.TransformerDecoderLayer(8, 2, 16, batch_first=True), [x(2, 5, 8), x(2, 3, 8)], None),
    "layer norm": (lambda: nn.LayerNorm((3, 4), bias=False), [x(2, 3, 4)], 0),
    "group norm": (lambda: nn.GroupNorm(2, 4), [x(2, 4, 3)], 0),
    "bilinear": (lambda: nn.Bilinear(3, 4, 2), [x(2, 3), x(2, 4)], None),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_models(name):
    make, inputs, free = MODELS[name]
    minipar.manual_seed(0)
    model = make()
    names = set(model.state_dict()) - {"1.num_batches_tracked"}
    leaves = flat([*inputs])
    proto = exported(model, *inputs)
    same_nested(model, proto, inputs, leaves)
    assert names <= {constant.name for constant in proto.graph.initializer}
    if free is not None:
        proto = exported(model, *inputs, dynamic_axes={"x": {free: "free"}})
        assert proto.graph.input[0].type.tensor_type.shape.dim[free].dim_param == "free"
        longer = minipar.cat([inputs[0]] * 3, free)
        same(model, proto, longer)
        same(model, proto, longer.narrow(free, 0, 1))


def same_nested(model, proto, inputs, leaves):
    with minipar.no_grad():
        wanted = flat(model.eval()(*inputs))
    for ours, theirs in zip(wanted, run(proto, *leaves), strict=True):
        np.testing.assert_allclose(theirs, ours.numpy(), rtol=1e-5, atol=1e-5)


ACTIVATIONS = [
    nn.ReLU(), nn.LeakyReLU(0.2), nn.PReLU(), nn.ELU(0.7), nn.CELU(0.7), nn.SELU(), nn.GELU(), nn.GELU("tanh"),
    nn.SiLU(), nn.Mish(), nn.Softplus(2.0), nn.LogSigmoid(), nn.Hardtanh(), nn.ReLU6(), nn.Hardsigmoid(),
    nn.Hardswish(), nn.Hardshrink(), nn.Softshrink(), nn.Tanhshrink(), nn.Softsign(), nn.Threshold(0.1, 3.0),
    nn.Sigmoid(), nn.Softmin(1), nn.GLU(),
]  # fmt: skip


@pytest.mark.parametrize("layer", ACTIVATIONS, ids=repr)
def test_activations(layer):
    given = 3 * x(4, 6)
    same(layer, exported(layer, given, dynamic_axes=ROWS), given)


FUNCTIONS = {
    "arithmetic": lambda x: (x + 1, 1 - x, 2 / (x * x + 1), -x, x**3, abs(x) ** 0.5, x.sign()),
    "exponentials": lambda x: (x.exp(), x.abs().log1p(), x.expm1(), (x * x).sqrt(), (x * x + 1).rsqrt(), x.erf()),
    "waves": lambda x: (x.sin(), x.cos(), x.tan(), x.tanh().asin(), x.tanh().acos(), x.atan(), x.sinh(), x.cosh()),
    "rounding": lambda x: (x.floor(), x.ceil(), x.round(), x.trunc()),
    "bounds": lambda x: (x.clamp(-0.5, 0.5), x.clamp(min=0.1), minipar.maximum(x, x.mT.mT * 2), x.clamp(max=x * 0)),
    "reductions": lambda x: (x.sum(1), x.mean((0, 2), True), x.amax(-1), x.amin(0), x.logsumexp(2), x.var(1), x.sum()),
    "largest": lambda x: (x.argmax(2), x.argmin(), x.argmax(keepdim=True)),
    "comparisons": lambda x: (x > 0, (x <= 0.5) & (x != 0), minipar.where(x > 0, x, -1.0), ~(x == 1), (x > 0).float()),
    "shapes": lambda x: (x.flatten(1), x.permute(2, 0, 1), x[None], x.unsqueeze(1).expand(-1, 5, -1, -1), x.mT),
    "parts": lambda x: (x[:, 1], x[..., 1:-1], x[:, ::2, 0], x[:, None, :, 1], x[:, [0, 2]]),
    "pieces": lambda x: (*x.chunk(2, 2), *x.unbind(1), *x.split([1, 2], 1)),
    "joins": lambda x: (minipar.cat([x, x * 2], 1), minipar.stack([x, x], -1), F.pad(x, (1, 2))),
    "products": lambda x: (x @ x.mT, minipar.einsum("bij,bkj->bik", x, x), F.normalize(x, dim=2)),
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    "in place": lambda x: (x * 1).add_(2).relu_(),
    "twice": lambda x: (x, x, (y := x + 1), y),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name):
    def function(x):
        return [y for y in flat([FUNCTIONS[name](x)]) if isinstance(y, minipar.Tensor)]

    model, given = Calls(function), x(2, 3, 4)
    proto = exported(model, given)
    same(model, proto, given)
    same(model, proto, given * -2)
    if name not in ("shapes",):
        same(model, exported(model, given, dynamic_axes=ROWS), minipar.cat([given, given + 1]))
    if name not in ("attention",):
        same(model, exported(model, given, opset_version=13), given)


def test_relu_in_an_rnn():
    proto = exported(nn.RNN(4, 4, nonlinearity="relu"), x(3, 2, 4))  # which the evaluator lacks
    (node,) = [node for node in proto.graph.node if node.op_type == "RNN"]
    assert next(a.strings for a in node.attribute if a.name == "activations") == [b"Relu"]


def test_groups_of_a_transposed_convolution():
    proto = exported(nn.ConvTranspose2d(4, 6, 3, groups=2), x(2, 4, 5, 5))  # which the evaluator lacks
    (node,) = [node for node in proto.graph.node if node.op_type == "ConvTranspose"]
    assert next(a.i for a in node.attribute if a.name == "group") == 2


def test_a_mask_that_is_an_input():
    model = Calls(lambda x, allowed: F.scaled_dot_product_attention(x, x, x, allowed))
    allowed = minipar.tensor(np.tri(3, dtype=bool))
    proto = exported(model, x(2, 3, 4), allowed)
    same(model, proto, x(2, 3, 4), ~allowed | minipar.eye(3).bool())


def test_integers_before_the_embedding():
    table = nn.Embedding(20, 4)
    model = Calls(lambda numbers: table((numbers[:, 1:] + 3).reshape(-1, 1)))
    proto = exported(model, numbers(2, 3), dynamic_axes={"x": [0]})
    same(model, proto, numbers(5, 3))


def test_names_files_and_modes(tmp_path):
    model = nn.Sequential(nn.Linear(3, 2), nn.Dropout()).train()
    weights = [p.requires_grad for p in model.parameters()]
    path = tmp_path / "model.onnx"
    names = {
        "input_names": ["features"],
        "output_names": ["scores"],
        "export_params": True,
        "do_constant_folding": True,
    }
    axes = {"features": {0: "batch"}, "scores": [0]}
    returned = minipar.onnx.export(model, x(2, 3), path, dynamic_axes=axes, opset_version=17, **names)
    proto = onnx.load(path)
    assert proto == returned
    assert model.training
    assert model[1].training
    assert [p.requires_grad for p in model.parameters()] == weights
    assert not model[0]._forward_hooks
    assert proto.opset_import[0].version == 17
    assert [given.name for given in proto.graph.input] == ["features"]
    output = proto.graph.output[0]
    assert output.name == "scores"
    assert [d.dim_param or d.dim_value for d in output.type.tensor_type.shape.dim] == ["scores_dim_0", 2]
    sizes = [d.dim_param or d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim]
    assert sizes == ["batch", 3]


def test_keywords_are_inputs():
    class Shifted(nn.Module):
        def forward(self, x, shift=None):
            return x if shift is None else x + shift

    proto = minipar.onnx.export(Shifted(), x(2), kwargs={"shift": x(2)})
    assert [given.name for given in proto.graph.input] == ["input", "input_1"]
    np.testing.assert_allclose(run(proto, x(2), x(2))[0], 2 * x(2).numpy())


def seeing(x):
    return x * float(x.sum())


REFUSED = {
    "no translation of CumSum": (Calls(lambda x: x.cumsum(0)), {}),
    "depends on": (Calls(seeing), {}),
    "which operations": (Calls(lambda x: x.relu().tanh() if x[0, 0] > x[1, 3] else x), {}),
    "Reshape from": (Calls(lambda x: (x @ x.mT).reshape(-1).relu().reshape(len(x), len(x))), ROWS),
    "several tensors": (Calls(lambda x: x[[0, 1], [1, 0]]), {}),
    "indices of the maxima": (Calls(lambda x: F.max_pool1d(x, 2, return_indices=True)), {}),
    "proj_size": (nn.LSTM(4, 4, proj_size=2), {}),
    "divisor_override": (Calls(lambda x: F.avg_pool2d(x[None], 1, divisor_override=3)), {}),
    "Inverse": (Calls(lambda x: minipar.inverse(x @ x.mT)), {}),
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_said_is_refused(message):
    model, axes = REFUSED[message]
    with pytest.raises(NotImplementedError, match=message):
        exported(model, x(2, 4), dynamic_axes=axes)


@pytest.mark.parametrize(
    ("error", "options", "message"),
    [
        (NotImplementedError, {"dynamic_shapes": {}}, "dynamic_shapes is not supported"),
        (NotImplementedError, {"export_params": False}, "export_params=False"),
        (NotImplementedError, {"do_constant_folding": False}, "do_constant_folding=False"),
        (TypeError, {"opset": 17}, "unexpected keyword argument 'opset'"),
        (ValueError, {"opset_version": 9}, r"opset_version must be in \[13, "),
        (ValueError, {"input_names": ["a", "b"]}, "input_names must be at most 1 different names"),
        (ValueError, {"input_names": ["x"], "dynamic_axes": {"x": [2]}}, r"names axis 2 of x, of shape \(2, 3\)"),
        (ValueError, {"dynamic_axes": {"y": [0]}}, "dynamic_axes names 'y'"),
    ],
)
def test_arguments_that_do_not_fit(error, options, message):
    with pytest.raises(error, match=message):
        minipar.onnx.export(nn.Linear(3, 2), x(2, 3), **options)


def test_layer_norm_needs_a_newer_version():
    with pytest.raises(NotImplementedError, match="LayerNorm needs opset_version >= 17, got 16"):
        minipar.onnx.export(nn.LayerNorm(3), x(2, 3), opset_version=16)


def test_a_model_is_needed():
    with pytest.raises(TypeError, match=r"model must be an nn\.Module, not function"):
        minipar.onnx.export(seeing, x(2))


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match="pip install onnx"):
        minipar.onnx.export(nn.Linear(3, 2), x(2, 3))

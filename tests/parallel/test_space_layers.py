"""Every layer on rows against the same layer in one process: output, input gradient, parameters' gradients, buffers."""

from __future__ import annotations

import numpy as np
import pytest

import minipar as torch
from minipar import nn, parallel
from minipar.parallel import functional as pf
from minipar.parallel.space.halo import exchanged

SEVEN, UNBATCHED = (2, 2, 7, 5), (2, 6, 5)
LAYERS = {
    "conv 3": (lambda: nn.Conv2d(2, 3, 3, padding=1), SEVEN),
    "conv 5, stride 2, groups": (lambda: nn.Conv2d(2, 4, 5, stride=2, padding=2, groups=2), (2, 2, 9, 6)),
    "conv, dilated, uneven": (
        lambda: nn.Conv2d(2, 3, (4, 3), padding=(3, 1), dilation=2, stride=(3, 1), bias=False),
        (1, 2, 11, 6),
    ),
    "conv same": (lambda: nn.Conv2d(2, 2, 4, padding="same", dilation=(1, 2)), (1, 2, 6, 6)),
    "conv valid": (lambda: nn.Conv2d(2, 2, 5, padding="valid"), (1, 2, 6, 6)),  # two output rows: empty shares
    "conv 1, stride 3": (lambda: nn.Conv2d(2, 2, 1, stride=3), SEVEN),  # rows that nobody looks at
    "conv of two rows": (lambda: nn.Conv2d(2, 3, 3, padding=1), (1, 2, 2, 5)),  # ranks without rows
    "conv, a wide halo": (lambda: nn.Conv2d(2, 3, 7, padding=3), (1, 2, 5, 4)),
    "conv, reflect": (lambda: nn.Conv2d(2, 2, 5, padding=2, padding_mode="reflect"), (1, 2, 6, 6)),
    "conv, replicate": (lambda: nn.Conv2d(2, 2, 5, padding=2, padding_mode="replicate"), (1, 2, 6, 6)),
    "conv, circular": (lambda: nn.Conv2d(2, 2, 5, padding=2, padding_mode="circular", stride=2), (1, 2, 6, 6)),
    "conv, no batch axis": (lambda: nn.Conv2d(2, 2, 3, padding=1), UNBATCHED),
    "max": (lambda: nn.MaxPool2d(3, 2, 1), (2, 2, 9, 6)),
    "max, ceil, dilated": (lambda: nn.MaxPool2d(3, 2, 1, 2, ceil_mode=True), (2, 2, 10, 7)),
    "average": (lambda: nn.AvgPool2d(3, 2, 1), (2, 2, 9, 6)),
    "average, ceil": (lambda: nn.AvgPool2d(4, 3, 2, ceil_mode=True), (2, 2, 10, 7)),
    "average, ceil, no padding counted": (
        lambda: nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
        (2, 2, 10, 7),
    ),
    "average, own divisor": (lambda: nn.AvgPool2d(4, 3, 2, ceil_mode=True, divisor_override=3), (2, 2, 10, 7)),
    "transposed 4, 2": (lambda: nn.ConvTranspose2d(2, 3, 4, 2, 1), (2, 2, 5, 4)),
    "transposed with gaps": (lambda: nn.ConvTranspose2d(2, 4, (1, 3), (4, 1), (0, 1)), (2, 2, 5, 4)),
    "transposed, output padding": (
        lambda: nn.ConvTranspose2d(2, 4, 2, 3, output_padding=2, groups=2, bias=False),
        (2, 2, 5, 4),
    ),
    "transposed, dilated": (lambda: nn.ConvTranspose2d(2, 4, 3, 2, 2, output_padding=1, dilation=2), (2, 2, 5, 4)),
    "upsample": (lambda: nn.Upsample(scale_factor=2), (2, 2, 5, 4)),
    "upsample, uneven": (lambda: nn.Upsample(scale_factor=(2.5, 1.5)), (2, 2, 5, 4)),
    "upsample to a size": (lambda: nn.Upsample(size=(3, 9), mode="nearest-exact"), (2, 2, 5, 4)),
    "upsample, gathered": (lambda: nn.UpsamplingBilinear2d(scale_factor=2), (2, 2, 5, 4)),
    "padding": (lambda: nn.ConstantPad2d((1, 0, 3, 2), 1.5), (2, 2, 5, 4)),
    "padding that cuts": (lambda: nn.ZeroPad2d((1, -1, -2, 1)), (2, 2, 5, 4)),
    "padding, reflect": (lambda: nn.Sequential(nn.ReflectionPad2d((1, 0, 3, 2)), nn.Conv2d(2, 2, 3)), (2, 2, 5, 4)),
    "padding, replicate": (lambda: nn.ReplicationPad2d((1, 0, 3, 2)), UNBATCHED),
    "padding, circular": (lambda: nn.CircularPad2d((1, 0, 3, 2)), (2, 2, 5, 4)),
    "batch norm": (lambda: nn.BatchNorm2d(2), SEVEN),
    "group norm": (lambda: nn.GroupNorm(2, 4), (3, 4, 5, 4)),
    "group norm, ranks without rows": (lambda: nn.GroupNorm(1, 2), (3, 2, 2, 4)),
    "instance norm": (lambda: nn.InstanceNorm2d(2), UNBATCHED),
    "instance norm, tracked": (lambda: nn.InstanceNorm2d(2, affine=True, track_running_stats=True), SEVEN),
    "layer norm of columns": (lambda: nn.LayerNorm(5), SEVEN),
    "dropouts": (lambda: nn.Sequential(nn.Dropout(0.4), nn.Dropout2d(0.3), nn.AlphaDropout(0.2)), (2, 2, 3, 5)),
    "pixel by pixel": (lambda: nn.Sequential(nn.PReLU(), nn.Softmax2d(), nn.Linear(5, 4)), SEVEN),
    "conv, relu, pool": (lambda: nn.Sequential(nn.Conv2d(2, 3, 5, 2, 1), nn.ReLU(), nn.MaxPool2d(2)), (2, 2, 15, 9)),
    "flatten": (lambda: nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(70, 3)), SEVEN),
    "flatten, linear": (lambda: nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(70, 3), nn.Linear(3, 2)), SEVEN),
    "flatten of one axis": (lambda: nn.Flatten(2), SEVEN),
    "global average": (lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)), SEVEN),
    "global maximum": (lambda: nn.Sequential(nn.AdaptiveMaxPool2d((1, 1)), nn.Conv2d(2, 3, 1)), (2, 2, 3, 5)),
    "adaptive": (lambda: nn.Sequential(nn.AdaptiveAvgPool2d((3, 2)), nn.Dropout(0.5)), SEVEN),
    "whole batch norm": (lambda: nn.Sequential(nn.Flatten(), nn.Linear(70, 3), nn.BatchNorm1d(3)), (4, 2, 7, 5)),
}


def compare(comm, name, dtype, members):
    group = comm.split(0 if comm.rank >= comm.size - members else None)
    if group is None:
        return {}
    build, shape = LAYERS[name]
    torch.manual_seed(0)
    serial = build().to(dtype)
    torch.manual_seed(0)
    names = list(serial.state_dict())
    split = parallel.spatial(build().to(dtype), group)
    assert list(split.state_dict()) == names
    x = torch.randn(*shape).to(dtype)

    torch.manual_seed(1)
    whole = (x * 1).requires_grad_()
    expected = serial(whole)
    g = torch.randn(*expected.shape).to(dtype)
    expected.backward(g)

    torch.manual_seed(1)
    rows = pf.own_part(x, group, -2).clone().requires_grad_()
    y = split(rows)
    drawn = torch.randn(*expected.shape).to(dtype)
    assert torch.equal(drawn, g), "as many draws as in one process"
    mine = pf.own_part(expected.detach(), group, -2) if split.gives_rows else expected.detach()
    assert y.shape == mine.shape
    y.backward(pf.own_part(g, group, -2) if split.gives_rows else g / group.size)

    errors = {"y": distance(y, mine), "dx": distance(rows.grad, pf.own_part(whole.grad, group, -2))}
    for (key, p), q in zip(split.named_parameters(), serial.parameters()):
        part = np.zeros(p.shape, p.dtype) if p.grad is None else p.grad.numpy().copy()
        errors[key] = np.abs(group.all_reduce(part) - q.grad.numpy()).max()
    for (key, b), q in zip(split.named_buffers(), serial.buffers()):
        errors[key] = distance(b, q)
    return errors


def distance(a, b):
    return np.abs(a.detach().numpy() - b.detach().numpy()).max(initial=0)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("size", "members"), [(2, 2), (3, 2), (3, 3), (5, 4)])  # the group is the last ranks
def test_a_layer_on_rows_is_the_layer(name, size, members):
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 2e-5)):
        for errors in parallel.launch(compare, name, dtype, members, workers=size, backend="thread", timeout=30):
            assert {key: error for key, error in errors.items() if not error <= tolerance} == {}


def test_the_same_on_processes():
    def several(comm):
        return [compare(comm, name, torch.float64, 2) for name in ("conv, dilated, uneven", "max", "flatten, linear")]

    for layers in parallel.launch(several, workers=3, backend="process"):
        for errors in layers:
            assert {key: error for key, error in errors.items() if not error <= 1e-12} == {}


def test_memory_keeps_its_order():
    """Images of which the channels of a pixel lie side by side, as convolutions make them, stay so."""

    def run(comm):
        x = torch.randn(2, 4, 5, 3).permute(0, 3, 1, 2)
        return exchanged(x, [np.arange(6)] * comm.size, [4, 4], comm).stride()

    assert parallel.launch(run, workers=2, backend="thread") == [(6 * 5 * 3, 1, 5 * 3, 3)] * 2

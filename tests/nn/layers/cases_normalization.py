"""Rows of the table of layers: norms, and dropout in eval mode."""

from __future__ import annotations

from tests.nn.layers.layer import Layer, normal


def twice(layer, x, y):
    """Running statistics after two batches."""
    return layer(x), layer(y)


ROWS, LINES, IMAGES, VOLUMES = (4, 3), (4, 3, 5), (2, 3, 4, 3), (2, 3, 2, 3, 2)
BATCH = [
    Layer("BatchNorm1d", lambda nn: nn.BatchNorm1d(3), [normal(ROWS), normal(LINES)]),
    Layer("BatchNorm1d cumulative", lambda nn: nn.BatchNorm1d(3, momentum=None), normal(ROWS, LINES), twice),
    Layer("BatchNorm1d momentum 0", lambda nn: nn.BatchNorm1d(3, momentum=0), normal(ROWS, LINES), twice),
    Layer("BatchNorm1d not affine", lambda nn: nn.BatchNorm1d(3, affine=False), normal(ROWS), train=(True,)),
    Layer("BatchNorm1d not affine, eval", lambda nn: nn.BatchNorm1d(3, affine=False), normal(ROWS), train=(False,),
          second=False),
    Layer("BatchNorm1d no bias", lambda nn: nn.BatchNorm1d(3, bias=False), normal(ROWS)),
    Layer("BatchNorm2d", lambda nn: nn.BatchNorm2d(3, 1e-3, 0.3), normal(IMAGES, IMAGES), twice),
    Layer("BatchNorm2d untracked", lambda nn: nn.BatchNorm2d(3, track_running_stats=False), normal(IMAGES)),
    Layer("BatchNorm3d", lambda nn: nn.BatchNorm3d(3), normal(VOLUMES)),
]  # fmt: skip
INSTANCE = [
    Layer("InstanceNorm1d", lambda nn: nn.InstanceNorm1d(3), [normal(LINES), normal((3, 5))]),
    Layer("InstanceNorm1d affine", lambda nn: nn.InstanceNorm1d(3, affine=True), [normal(LINES), normal((3, 5))]),
    Layer("InstanceNorm2d tracked", lambda nn: nn.InstanceNorm2d(3, track_running_stats=True, affine=True),
          normal(IMAGES, (3, 4, 3)), twice),
    Layer("InstanceNorm2d cumulative", lambda nn: nn.InstanceNorm2d(3, momentum=None, track_running_stats=True),
          normal(IMAGES), train=(True,)),
    Layer("InstanceNorm2d tracked, eval", lambda nn: nn.InstanceNorm2d(3, track_running_stats=True), normal(IMAGES),
          train=(False,), second=False),
    Layer("InstanceNorm3d", lambda nn: nn.InstanceNorm3d(3, eps=0.1), [normal(VOLUMES), normal(VOLUMES[1:])]),
]  # fmt: skip
OTHERS = [
    Layer("LayerNorm", lambda nn: nn.LayerNorm(5), [normal(LINES), normal((5,))]),
    Layer("LayerNorm axes", lambda nn: nn.LayerNorm((3, 5), eps=0.1), normal(LINES)),
    Layer("LayerNorm plain", lambda nn: nn.LayerNorm([5], elementwise_affine=False), normal(LINES)),
    Layer("LayerNorm no bias", lambda nn: nn.LayerNorm(5, bias=False), normal(LINES)),
    Layer("RMSNorm", lambda nn: nn.RMSNorm(5), normal(LINES)),
    Layer("RMSNorm axes", lambda nn: nn.RMSNorm((3, 5), eps=0.1), normal(LINES)),
    Layer("RMSNorm plain", lambda nn: nn.RMSNorm(5, elementwise_affine=False), normal(LINES)),
    Layer("GroupNorm", lambda nn: nn.GroupNorm(2, 4), [normal((2, 4)), normal((2, 4, 3)), normal((2, 4, 3, 2))]),
    Layer("GroupNorm plain", lambda nn: nn.GroupNorm(1, 3, affine=False), normal(LINES)),
    Layer("GroupNorm no bias", lambda nn: nn.GroupNorm(1, 3, bias=False), normal(LINES)),
    Layer("LocalResponseNorm", lambda nn: nn.LocalResponseNorm(3, 0.1, 0.6, 2.0), [normal(LINES), normal(IMAGES)]),
]
DROPOUT = [
    Layer(name, lambda nn, name=name: getattr(nn, name)(0.2), normal(shape), train=(False,))
    for name, shape in (("Dropout", LINES), ("Dropout1d", LINES), ("Dropout2d", IMAGES), ("Dropout3d", VOLUMES),
                        ("AlphaDropout", LINES), ("FeatureAlphaDropout", LINES))
]  # fmt: skip
NORMALIZATION = BATCH + INSTANCE + OTHERS + DROPOUT

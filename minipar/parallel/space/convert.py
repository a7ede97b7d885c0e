"""`spatial`: a model of one process becomes one whose images are split by rows over the ranks of a communicator.

Layer by layer, in the order in which they stand, each is replaced by its like on rows (windows.py, norms.py), until one
needs whole images (whole.py); what stands behind that stays as it is.
"""

from __future__ import annotations

from typing import Any

from ... import nn
from ...nn.batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from ...nn.module import Module
from ..comm import Communicator
from ..part_dropout import DROPOUTS
from ..sync_batch_norm import SyncBatchNorm
from ..tensor.conv import ColumnParallelConv, RowParallelConv
from .norms import RowsDropout, RowsGroupNorm, RowsInstanceNorm2d, RowsSoftmax
from .whole import OfWholeImages, RowsGlobalAvgPool2d, RowsGlobalMaxPool2d, RowsLinear, RowsOfWholeImages
from .windows import (
    ConvolutionOnRows,
    OnRows,
    RowsAvgPool2d,
    RowsConv2d,
    RowsConvTranspose2d,
    RowsMaxPool2d,
    RowsPad2d,
    RowsUpsample,
)

ROW_BY_ROW = (  # they treat every pixel, or every row, by itself
    *(nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Sigmoid, nn.LogSigmoid, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.Hardshrink, nn.Softshrink),
    *(nn.Tanh, nn.Tanhshrink, nn.Softplus, nn.Softsign, nn.Threshold),
    *(nn.Softmax2d, nn.LocalResponseNorm, nn.ChannelShuffle),
)
HEAD = (nn.Flatten, nn.Linear, *ROW_BY_ROW, *DROPOUTS, BatchNorm1d, nn.LayerNorm, nn.Softmax, nn.LogSoftmax)
SOFTMAXES = (nn.Softmax, nn.LogSoftmax, nn.Softmin)
PADDINGS = (nn.ZeroPad2d, nn.ConstantPad2d, nn.ReflectionPad2d, nn.ReplicationPad2d, nn.CircularPad2d)
LISTS = (nn.ModuleList, nn.ModuleDict)  # whose owner calls what is in them
BATCH_NORMS = (BatchNorm1d, BatchNorm2d, BatchNorm3d, SyncBatchNorm)


class RowsColumnParallelConv(ConvolutionOnRows, ColumnParallelConv):
    """This rank's output channels, of this rank's rows."""


class RowsRowParallelConv(ConvolutionOnRows, RowParallelConv):
    """This rank's input channels, of this rank's rows."""


ALIKE: dict[type[Module], type[OnRows]] = {
    nn.Conv2d: RowsConv2d,
    ColumnParallelConv: RowsColumnParallelConv,
    RowParallelConv: RowsRowParallelConv,
    nn.ConvTranspose2d: RowsConvTranspose2d,
    nn.MaxPool2d: RowsMaxPool2d,
    nn.AvgPool2d: RowsAvgPool2d,
    nn.GroupNorm: RowsGroupNorm,
    nn.InstanceNorm2d: RowsInstanceNorm2d,
}


def spatial(
    model: Module,
    comm: Communicator,
    replicas: Communicator | None = None,
    row_by_row: tuple[type[Module], ...] = (),
) -> Module:
    """`model`, whose images (…, H, W) from now on are split by rows over `comm`. In place; but use what is returned.

    Rank r's input is `share(H, r, comm.size)` of the rows (`functional.own_part(x, comm, -2)`), its output that share
    of the output's rows, or the whole output where a layer needed whole images: `model.gives_rows` says which. Names
    and parameters stay. Every parameter's gradient is this rank's part of the sum over `comm`. Batch norms take their
    statistics over `replicas`, `comm` and the ranks of data parallelism (by default `comm` alone).

    Split are Conv2d, ConvTranspose2d, MaxPool2d, AvgPool2d, nearest Upsample, padding, batch, group and instance norms
    and dropout; what treats each pixel by itself stays. Flatten with a Linear behind it, and global pooling, end the
    rows with a sum over ranks; Flatten alone and other adaptive pooling with a gather. Other Upsample gathers, too, and
    goes on with rows. A module of your own is converted child by child, in the order in which it has them: what its
    forward does besides must treat each row by itself, as the additions of residual blocks do, and what it calls as a
    function (F.conv2d) is not seen. `row_by_row`: classes of yours that stay as they are.

    NotImplementedError for a layer that cannot be split, naming it and what can be done.

    >>> def shape(comm):
    ...     net = minipar.parallel.spatial(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(2)), comm)
    ...     rows = minipar.parallel.functional.own_part(minipar.ones(1, 1, 10, 4), comm, -2)
    ...     return net(rows).shape, net.gives_rows
    >>> minipar.parallel.launch(shape, workers=2, backend="thread")
    [((1, 2, 3, 2), True), ((1, 2, 2, 2), True)]
    """
    if not isinstance(comm, Communicator):
        raise TypeError(f"spatial: comm must be a Communicator, not {type(comm).__name__}")
    conversion = _Conversion(comm, comm if replicas is None else replicas, row_by_row)
    if comm.size > 1:
        model = conversion.converted(model, "", in_a_row=True)
        conversion.carry_out()
    model.gives_rows = conversion.rows
    return model


class _Conversion:
    """One walk through a model. `rows`: do images come as rows where it is; `ended_in`: whose forward ended them."""

    def __init__(self, comm: Communicator, replicas: Communicator, row_by_row: tuple[type[Module], ...]) -> None:
        self.comm, self.replicas, self.own = comm, replicas, row_by_row
        self.rows, self.ended_in = True, ""
        self.done: dict[tuple[int, bool], tuple[Module, Module]] = {}  # by id, and whether rows came
        self.changes: list[tuple[Module, str, Module]] = []  # (parent, name, child): made when all are known

    def converted(self, module: Module, name: str, in_a_row: bool) -> Module:
        """`in_a_row`: it stands in nothing but Sequentials, so what comes before it is known."""
        key = id(module), self.rows
        if key in self.done:  # the same layer in two places
            return self.done[key][1]
        kind = type(module)
        if kind in self.own:
            made = module
        elif kind is nn.Sequential:
            made = self._sequential(module, name, in_a_row)
        elif kind in LISTS or (list(module.children()) and not kind.__module__.startswith(nn.__name__ + ".")):
            made = self._of_ones_own(module, name)
        elif self.rows:
            made = self._on_rows(module, name, in_a_row)
        else:
            made = self._behind_the_rows(module, name, in_a_row)
        self.done[key] = module, made
        return made

    def carry_out(self) -> None:
        for parent, name, child in self.changes:
            setattr(parent, name, child)

    def _sequential(self, module: Any, name: str, in_a_row: bool) -> Module:
        layers = list(module._modules.items())
        behind = [layer for _, layer in layers[1:]] + [None]
        for (child, layer), following in zip(layers, behind):
            if self.rows and type(layer) is nn.Flatten and _is_whole(layer) and type(following) is nn.Linear:
                made: Module = nn.Identity()
                self.done[id(following), True] = following, self._like(following, RowsLinear)
            else:
                made = self.converted(layer, f"{name}{child}.", in_a_row)
                if type(made) is RowsLinear:
                    self.rows = False
            self.changes.append((module, child, made))
        return module

    def _of_ones_own(self, module: Module, name: str) -> Module:
        before = self.rows
        for child, layer in module._modules.items():
            if layer is not None:
                self.changes.append((module, child, self.converted(layer, f"{name}{child}.", in_a_row=False)))
                if before and not self.rows:
                    self.ended_in = self.ended_in or f"{name}{child}"
        return module

    def _on_rows(self, module: Any, name: str, in_a_row: bool) -> Module:
        kind = type(module)
        if kind in ROW_BY_ROW or (kind is nn.Linear and in_a_row) or _is_of_columns(module):
            return module
        if kind in SOFTMAXES and module.dim in (1, -3, 3, -1):
            return module if module.dim < 0 else self._around(module, RowsSoftmax)
        if kind in BATCH_NORMS:
            return SyncBatchNorm.in_place_of(module, self.replicas)
        if kind in PADDINGS and (module.mode == "constant" or min(module.padding[2:]) >= 0):
            return self._around(module, RowsPad2d)
        if kind in DROPOUTS:
            return self._around(module, RowsDropout)
        if kind in (nn.Upsample, nn.UpsamplingNearest2d, nn.UpsamplingBilinear2d):
            nearest = module.mode in ("nearest", "nearest-exact")
            return self._like(module, RowsUpsample) if nearest else self._around(module, RowsOfWholeImages)
        if kind in (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.Flatten):
            self.rows = False
            return self._end(module, kind)
        if kind in ALIKE and not getattr(module, "return_indices", False) and getattr(module, "dims", 2) == 2:
            return self._like(module, ALIKE[kind])
        raise NotImplementedError(
            f"spatial: {name.rstrip('.') or 'the model'} = {module} cannot be split by rows. Put nn.Flatten() or "
            "nn.AdaptiveAvgPool2d(1) before it, or call parallel.functional.all_gather(x, comm, dim=-2); or, if it "
            f"treats each row by itself, pass row_by_row=({kind.__name__},); or split the model in another way"
        )

    def _end(self, module: Any, kind: type[Module]) -> Module:
        if (
            kind is nn.Flatten
            or module.output_size not in (1, (1, 1), [1, 1])
            or getattr(module, "return_indices", False)
        ):
            return self._around(module, OfWholeImages)
        return self._like(module, RowsGlobalAvgPool2d if kind is nn.AdaptiveAvgPool2d else RowsGlobalMaxPool2d)

    def _behind_the_rows(self, module: Any, name: str, in_a_row: bool) -> Module:
        if self.ended_in and type(module) not in HEAD:
            raise NotImplementedError(
                f"spatial: {name.rstrip('.')} = {module} comes after {self.ended_in}, behind which images are whole; "
                "in a module of one's own it cannot be seen whether it gets those or rows. Put the layers in order "
                "into one nn.Sequential"
            )
        if type(module) in BATCH_NORMS:
            made = SyncBatchNorm.in_place_of(module, self.replicas)
            made.copies = self.comm.size
            return made
        return module

    def _like(self, layer: Module, kind: type[Any]) -> Any:
        """The layer itself, as one of `kind`: the same parameters, hooks and arguments under the same names."""
        made: Any = object.__new__(kind)
        made.__dict__.update(layer.__dict__)
        made.space = self.comm
        return made

    def _around(self, layer: Module, kind: type[Any]) -> Any:
        made = kind(layer)
        made.space = self.comm
        made.train(layer.training)
        return made


def _is_whole(flatten: Any) -> bool:
    """Does it make one row of numbers of each sample?"""
    return flatten.start_dim == 1 and flatten.end_dim in (-1, 3)


def _is_of_columns(module: Any) -> bool:
    """Is it a norm within each row?"""
    return isinstance(module, (nn.LayerNorm, nn.RMSNorm)) and len(module.normalized_shape) == 1

"""Bad inputs of what arranges elements: shapes, joining, splitting, indices, padding, triangles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.refusals.refusal import Refusal


def refused(of: str, why: str, call: Callable[[Any, Any], Any], error: type[BaseException], *says: str) -> Refusal:
    """A wrong call on x, a float tensor of shape (2, 3)."""
    return Refusal(of, why, lambda m: call(m, m.arange(6.0).reshape(2, 3)), error, says)


SHAPES = [
    refused("reshape", "sizes", lambda m, x: m.reshape(x, (4, 2)), RuntimeError, "reshape", r"\(4, 2\)", r"\(2, 3\)"),
    refused("reshape", "two -1", lambda m, x: x.reshape(-1, -1), RuntimeError, "only one size may be -1"),
    refused("reshape", "no ints", lambda m, x: x.reshape(2.0, 3), TypeError, "shape must be a sequence of ints"),
    refused("Tensor.view", "strides", lambda m, x: x.mT.view(6), RuntimeError, "view", "strides", "use reshape"),
    refused(
        "Tensor.view",
        "grad",
        lambda m, x: x.requires_grad_().view(m.int32),
        NotImplementedError,
        "dtype of a tensor that requires",
    ),
    refused("squeeze", "dim", lambda m, x: m.squeeze(x, 2), IndexError, r"dim must be in \[-2, 1\]", "not 2"),
    refused("squeeze", "dim twice", lambda m, x: m.squeeze(x, (0, -2)), RuntimeError, "each axis once"),
    refused("unsqueeze", "dim", lambda m, x: m.unsqueeze(x, 4), IndexError, r"dim must be in \[-3, 2\]", "not 4"),
    refused("flatten", "order", lambda m, x: m.flatten(x, 1, 0), RuntimeError, "start_dim 1", "end_dim 0"),
    refused(
        "unflatten", "sizes", lambda m, x: m.unflatten(x, 1, (2, 2)), RuntimeError, "sizes", r"\(2, 2\)", r"\(3,\)"
    ),
    refused("unflatten", "none", lambda m, x: m.unflatten(x, 1, ()), RuntimeError, "sizes must not be empty"),
    refused("ravel", "a list", lambda m, x: x.ravel(0), TypeError, "ravel"),
    refused("permute", "dims", lambda m, x: m.permute(x, (0, 0)), RuntimeError, "dims", "each of the 2 axes once"),
    refused("transpose", "dim1", lambda m, x: m.transpose(x, 0, 2), IndexError, r"dim1 must be in \[-2, 1\]", "not 2"),
    refused("swapaxes", "axis", lambda m, x: m.swapaxes(x, 0, 5), IndexError, "must be in", "not 5"),
    refused("swapdims", "dim", lambda m, x: m.swapdims(x, 0, "1"), TypeError, "must be an int, not str"),
    refused("movedim", "count", lambda m, x: m.movedim(x, (0, 1), 0), RuntimeError, "source and destination"),
    refused("moveaxis", "twice", lambda m, x: m.moveaxis(x, (0, 1), (0, 0)), RuntimeError, "destination", "once"),
    refused("t", "rank", lambda m, x: m.t(x[None]), RuntimeError, "two axes or fewer", r"\(1, 2, 3\)"),
    refused("adjoint", "rank", lambda m, x: m.adjoint(x[0]), RuntimeError, "matrix", r"\(3,\)"),
    refused("Tensor.H", "rank", lambda m, x: x[None].H, RuntimeError, "matrix", "use mH"),
    refused("Tensor.expand", "size", lambda m, x: x.expand(4, 3), RuntimeError, r"\(2, 3\)", r"\(4, 3\)"),
    refused("broadcast_to", "size", lambda m, x: m.broadcast_to(x, (3,)), RuntimeError, r"\(2, 3\)", r"\(3,\)"),
    refused("broadcast_shapes", "shapes", lambda m, x: m.broadcast_shapes((2,), (3,)), RuntimeError, "cannot be broad"),
    refused("broadcast_tensors", "shapes", lambda m, x: m.broadcast_tensors(x, x.T), RuntimeError, r"\(3, 2\)"),
    refused("meshgrid", "rank", lambda m, x: m.meshgrid(x, indexing="ij"), RuntimeError, "one axis", r"\(2, 3\)"),
    refused("meshgrid", "indexing", lambda m, x: m.meshgrid(x[0], indexing="yx"), RuntimeError, "'ij' or 'xy'", "'yx'"),
    refused("cartesian_prod", "rank", lambda m, x: m.cartesian_prod(x, x), RuntimeError, "one axis"),
    refused("combinations", "rank", lambda m, x: m.combinations(x), RuntimeError, "one axis", r"\(2, 3\)"),
]

PARTS = [
    refused("cat", "none", lambda m, x: m.cat([]), ValueError, "tensors must not be empty"),
    refused("cat", "one tensor", lambda m, x: m.cat(x), TypeError, "list or tuple of tensors", "not Tensor"),
    refused("cat", "sizes", lambda m, x: m.cat([x, x.T]), RuntimeError, "agree except in dim 0", r"\(3, 2\)"),
    refused("concat", "0-d", lambda m, x: m.concat([x[0, 0]]), RuntimeError, "0-d", "use stack"),
    refused("concatenate", "dim", lambda m, x: m.concatenate([x], dim=3), IndexError, "dim must be in"),
    refused("stack", "shapes", lambda m, x: m.stack([x, x.T]), RuntimeError, "shapes must be equal", r"\(3, 2\)"),
    refused("stack", "none", lambda m, x: m.stack([]), RuntimeError, "must not be empty"),
    *[
        refused(
            name, "sizes", lambda m, x, name=name: getattr(m, name)([x, x[:1, :2]]), RuntimeError, "sizes must agree"
        )
        for name in ("vstack", "row_stack", "hstack", "dstack", "column_stack")
    ],
    *[
        refused(
            name, "a number", lambda m, x, name=name: getattr(m, name)(1.0, x), TypeError, "expected tensors", "float"
        )
        for name in ("atleast_1d", "atleast_2d", "atleast_3d")
    ],
    refused("block_diag", "rank", lambda m, x: m.block_diag(x[None]), RuntimeError, "two axes", r"\(1, 2, 3\)"),
    refused("split", "size", lambda m, x: m.split(x, 0), RuntimeError, "split_size must be positive", "not 0"),
    refused("split_with_sizes", "sum", lambda m, x: m.split_with_sizes(x, [1, 2]), RuntimeError, r"\[1, 2\]", "sum to"),
    refused("chunk", "chunks", lambda m, x: m.chunk(x, 0), RuntimeError, "chunks must be greater than 0", "not 0"),
    refused("tensor_split", "sections", lambda m, x: m.tensor_split(x, 0), RuntimeError, "larger than 0"),
    refused("hsplit", "uneven", lambda m, x: m.hsplit(x, 2), RuntimeError, "2 sections", "3 of dim 1"),
    refused("vsplit", "rank", lambda m, x: m.vsplit(x[0], 1), RuntimeError, "at least 2 axes", r"\(3,\)"),
    refused("dsplit", "rank", lambda m, x: m.dsplit(x, 1), RuntimeError, "at least 3 axes"),
    refused("unbind", "0-d", lambda m, x: m.unbind(x[0, 0]), IndexError, "0-d"),
    refused("narrow", "start", lambda m, x: m.narrow(x, 1, 4, 0), IndexError, r"start must be in \[-3, 3\]"),
    refused("narrow", "start 0.5", lambda m, x: m.narrow(x, 1, m.tensor(0.5), 1), RuntimeError, "whole number"),
    *[
        refused(name, "none", lambda m, x, name=name: getattr(m, name)([]), RuntimeError, "must not be empty")
        for name in ("vstack", "hstack", "dstack")
    ],
    refused("narrow", "length", lambda m, x: m.narrow(x, 1, 2, 2), RuntimeError, "start 2, length 2", r"\(2, 3\)"),
    refused("select", "index", lambda m, x: m.select(x, 1, 3), IndexError, r"index must be in \[-3, 2\]", "not 3"),
    refused(
        "Tensor.unfold", "size", lambda m, x: x.unfold(1, 4, 1), RuntimeError, r"size must be in \[0, 3\]", "not 4"
    ),
    refused("Tensor.unfold", "step", lambda m, x: x.unfold(1, 2, 0), RuntimeError, "step must be greater than 0"),
    refused("Tensor.repeat", "few", lambda m, x: x.repeat(2), RuntimeError, "each axis", r"\(2,\)"),
    refused("tile", "negative", lambda m, x: m.tile(x, (-1,)), RuntimeError, "0 or more"),
    refused(
        "repeat_interleave",
        "count",
        lambda m, x: m.repeat_interleave(x, m.tensor([1, 2, 3, 4]), 0),
        RuntimeError,
        "repeats must be a number or 2",
    ),
    refused("roll", "0-d", lambda m, x: m.roll(x[0, 0], 1, 0), IndexError, "0-d"),
    refused("roll", "count", lambda m, x: m.roll(x, (1, 2), 0), RuntimeError, "shifts and dims must be as many"),
    refused("flip", "twice", lambda m, x: m.flip(x, (0, 0)), RuntimeError, "dims must name each axis once"),
    refused("fliplr", "rank", lambda m, x: m.fliplr(x[0]), RuntimeError, "at least two axes", r"\(3,\)"),
    refused("flipud", "rank", lambda m, x: m.flipud(x[0, 0]), RuntimeError, "at least one axis"),
    refused("rot90", "dims", lambda m, x: m.rot90(x, 1, (0, 0)), RuntimeError, "dims must name each axis once"),
]

PLACES = [
    refused("gather", "range", lambda m, x: m.gather(x, 0, m.tensor([[-1]])), RuntimeError, "index -1", r"\[0, 1\]"),
    refused("gather", "rank", lambda m, x: m.gather(x, 0, m.tensor([0])), RuntimeError, "as many axes", r"\(2, 3\)"),
    refused("gather", "dtype", lambda m, x: m.gather(x, 0, x), RuntimeError, "int64 or int32", "float32"),
    refused("take_along_dim", "rank", lambda m, x: m.take_along_dim(x, m.tensor([0]), 1), RuntimeError, "as many axes"),
    refused("take", "range", lambda m, x: m.take(x, m.tensor([6])), IndexError, "index 6", r"\[-6, 5\]"),
    refused("index_select", "rank", lambda m, x: m.index_select(x, 0, m.tensor([[0]])), IndexError, "one axis or none"),
    refused("index_select", "range", lambda m, x: m.index_select(x, 1, m.tensor([3])), IndexError, "index 3", "dim 1"),
    refused("masked_select", "dtype", lambda m, x: m.masked_select(x, x), RuntimeError, "mask must be a bool tensor"),
    refused("nonzero", "positional", lambda m, x: m.nonzero(x, True), TypeError, "nonzero"),
    refused("argwhere", "argument", lambda m, x: m.argwhere(x, 1), TypeError, "argwhere"),
    refused(
        "scatter", "dtype", lambda m, x: m.scatter(x, 0, m.tensor([[0]]), x.double()), RuntimeError, "src", "float64"
    ),
    refused("scatter", "neither", lambda m, x: m.scatter(x, 0, m.tensor([[0]])), TypeError, "src", "value"),
    refused("scatter_add", "range", lambda m, x: m.scatter_add(x, 0, m.tensor([[5]]), x), RuntimeError, "index 5"),
    refused(
        "scatter_reduce",
        "reduce",
        lambda m, x: m.scatter_reduce(x, 0, m.tensor([[0]]), x, "max"),
        RuntimeError,
        "amax",
        "not 'max'",
    ),
    refused(
        "index_add", "shape", lambda m, x: m.index_add(x, 0, m.tensor([0]), x), RuntimeError, r"\(1, 3\)", r"\(2, 3\)"
    ),
    refused("index_copy", "dtype", lambda m, x: m.index_copy(x, 0, m.tensor([0, 1]), x.int()), RuntimeError, "int32"),
    refused("index_fill", "value", lambda m, x: m.index_fill(x, 0, m.tensor([0]), x), RuntimeError, "number or a 0-d"),
    refused("index_put", "indices", lambda m, x: m.index_put(x, 0, x), TypeError, "tuple of tensors, not int"),
    refused("masked_fill", "dtype", lambda m, x: m.masked_fill(x, x, 0), RuntimeError, "bool tensor", "float32"),
    refused(
        "masked_scatter", "few", lambda m, x: m.masked_scatter(x, x > 0, x[0]), RuntimeError, "3 elements", "5 places"
    ),
    refused("nn.functional.pad", "odd", lambda m, x: m.nn.functional.pad(x, (1,)), RuntimeError, "two numbers"),
    refused(
        "nn.functional.pad", "mode", lambda m, x: m.nn.functional.pad(x, (1, 1), "same"), NotImplementedError, "'same'"
    ),
    refused(
        "nn.functional.pad", "wide", lambda m, x: m.nn.functional.pad(x, (3, 0), "reflect"), RuntimeError, "at most 2"
    ),
    refused(
        "nn.functional.one_hot", "dtype", lambda m, x: m.nn.functional.one_hot(x), RuntimeError, "int64", "float32"
    ),
    refused(
        "nn.functional.one_hot", "range", lambda m, x: m.nn.functional.one_hot(x.long(), 3), RuntimeError, "0 to 5"
    ),
    *[
        refused(
            name, "rank", lambda m, x, name=name: getattr(m, name)(x[0]), RuntimeError, "at least two axes", r"\(3,\)"
        )
        for name in ("tril", "triu")
    ],
    refused("diagonal", "dims", lambda m, x: m.diagonal(x, 0, 1, 1), RuntimeError, "dim1 and dim2 must be different"),
    refused("diag", "rank", lambda m, x: m.diag(x[None]), RuntimeError, "one axis or two", r"\(1, 2, 3\)"),
    refused("diag_embed", "0-d", lambda m, x: m.diag_embed(x[0, 0]), RuntimeError, "at least one axis"),
    refused("diagflat", "offset", lambda m, x: m.diagflat(x, "1"), TypeError, "offset must be an int", "str"),
]

ARRANGE = SHAPES + PARTS + PLACES

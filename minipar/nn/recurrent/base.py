"""What RNN, LSTM and GRU share: parameters by layer and direction, and the walk of a batch through them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

from ...backend import namespace
from ...backend.current_gpu import on_gpu_of
from ...creation import empty
from ...ops.dropout import dropout
from ...ops.gather import index_select
from ...ops.join import cat, stack
from ...ops.op import array_of
from ...ops.shape import reshape, unsqueeze
from ...tensor import Tensor, wrap
from .. import init
from ..module import Module
from ..parameter import Parameter
from ..utils.rnn import PackedSequence

GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}


class RNNBase(Module):
    """Base of the recurrent layers: their parameters. Subclasses give their number of `states`, and `direction`'s walk.

    `mode` is "LSTM", "GRU", "RNN_TANH" or "RNN_RELU" (ValueError for another); the rest as of those layers.

    >>> isinstance(nn.GRU(2, 3), nn.RNNBase), nn.RNNBase("LSTM", 2, 3).weight_ih_l0.shape
    (True, (12, 2))
    """

    states = 1

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if mode not in GATES:
            raise ValueError(f"RNNBase: mode must be one of {', '.join(GATES)}, not {mode!r}")
        _check_sizes(input_size, hidden_size, num_layers, dropout, proj_size)
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                f"dropout={dropout} acts between recurrent layers, so with num_layers=1 it does nothing", stacklevel=3
            )
        self.mode, self.input_size, self.hidden_size, self.num_layers = mode, input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, float(dropout)
        self.bidirectional, self.proj_size = bidirectional, proj_size
        directions, width = (2 if bidirectional else 1), proj_size or hidden_size
        rows = GATES[mode] * hidden_size
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            for suffix in ("", "_reverse")[:directions]:
                shapes: dict[str, tuple[int, ...]] = {
                    "weight_ih": (rows, width * directions if layer else input_size),
                    "weight_hh": (rows, width),
                }
                if bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                names = {f"{name}_l{layer}{suffix}": shape for name, shape in shapes.items()}
                for name, shape in names.items():
                    setattr(self, name, Parameter(empty(shape, device=device, dtype=dtype)))
                self._all_weights.append(list(names))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Every parameter uniform on ±1/√hidden_size."""
        bound = 1 / math.sqrt(self.hidden_size)
        for p in self.parameters():
            init.uniform_(p, -bound, bound)

    def flatten_parameters(self) -> None:
        """Nothing: PyTorch's cuDNN wants its weights in one piece of memory, the kernels here do not mind."""

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction, in the order of their names."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def direction(
        self, x: Tensor, states: list[Tensor], weights: list[Any], batch_sizes: Sequence[int] | None, reverse: bool,
        batch_first: bool = False,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """One layer in one direction: h after every step, then each last state, all like `states`.

        States are (B, ·), or (1, B, ·) where there is no other layer or direction. `weights`: w_ih, w_hh, b_ih, b_hh, …
        """
        raise NotImplementedError

    # ── a batch of sequences ──────────────────────────────────────────────────────────────────────────────────────

    def _run(self, input: Any, given: tuple[Tensor, ...] | None) -> tuple[Any, list[Tensor]]:
        """(output, last states) of any input: padded or packed, one sequence or a batch, with or without states."""
        if isinstance(input, PackedSequence):
            return self._run_packed(input, given)
        self._check_input(input, (2, 3))
        if given is not None:
            self._check_rank(given, input.ndim)
        if input.ndim == 2:
            states = None if given is None else tuple([unsqueeze(state, 1) for state in given])
            output, last = self._layers(unsqueeze(input, 1), None, False, 1, states)
            return output[:, 0], [state[:, 0] for state in last]
        return self._layers(input, None, self.batch_first, input.shape[0 if self.batch_first else 1], given)

    def _run_packed(self, input: PackedSequence, given: tuple[Tensor, ...] | None) -> tuple[Any, list[Tensor]]:
        data, sizes, sorted_indices, unsorted_indices = input
        self._check_input(data, (2,))
        batch_sizes = sizes.tolist()
        if given is not None:
            self._check_rank(given, 3)
            if sorted_indices is not None:
                given = tuple([index_select(state, 1, sorted_indices) for state in given])
        output, last = self._layers(data, batch_sizes, False, batch_sizes[0], given)
        if unsorted_indices is not None:
            last = [index_select(state, 1, unsorted_indices) for state in last]
        return PackedSequence(output, sizes, sorted_indices, unsorted_indices), last

    def _layers(
        self, x: Tensor, batch_sizes: Sequence[int] | None, batch_first: bool, batch: int,
        given: tuple[Tensor, ...] | None,
    ) -> tuple[Tensor, list[Tensor]]:  # fmt: skip
        """x, a block or the rows (N, ·) of packed sequences, through every layer and direction."""
        directions, array = (2 if self.bidirectional else 1), x.array
        single = directions == self.num_layers == 1
        shapes = self._state_shapes(batch)
        if given is None:
            xp = namespace(array)
            with on_gpu_of(array):
                zeros = [wrap(xp.zeros(shape if single else shape[1:], array.dtype)) for shape in shapes]
        else:
            for name, state, shape in zip(("h_0", "c_0"), given, shapes):
                if state.shape != shape:
                    raise RuntimeError(f"{self.mode}: {name} in hx must have shape {shape}, got {state.shape}")
        if single:  # the states go in and come out as the user has them
            states = zeros if given is None else list(given)
            h, *ends = self.direction(x, states, self._weights(0), batch_sizes, False, batch_first)
            return h, ends
        last: list[tuple[Tensor, ...]] = []
        for layer in range(self.num_layers):
            if layer and self.dropout:
                x = self._dropped(x, batch_sizes, batch_first, batch)
            outputs = []
            for direction in range(directions):
                place = layer * directions + direction
                states = zeros if given is None else [state[place] for state in given]
                h, *rest = self.direction(x, states, self._weights(place), batch_sizes, bool(direction), batch_first)
                outputs.append(h)
                last.append(tuple(rest))
            x = outputs[0] if directions == 1 else cat(outputs, x.ndim - 1)
        return x, [stack(ends) for ends in zip(*last)]

    def _weights(self, place: int) -> list[Any]:
        """The weights of a layer and direction, with None for absent biases."""
        own, names = self._parameters, self._all_weights[place]
        try:  # found sooner than as attributes; what a hook computes (weight_norm) is not there
            weights: list[Any] = [own[name] for name in names]
        except KeyError:
            weights = [getattr(self, name) for name in names]
        if not self.bias:
            weights[2:2] = (None, None)
        return weights

    def _dropped(self, x: Tensor, batch_sizes: Sequence[int] | None, batch_first: bool, batch: int) -> Tensor:
        """Dropout of the rows; where every step has the whole batch, a draw belongs to its sample, as elsewhere."""
        if batch_sizes is None:
            return dropout(x, self.dropout, self.training, batch_dim=0 if batch_first else 1)
        if batch_sizes[-1] != batch:
            return dropout(x, self.dropout, self.training, batch_dim=None)
        block = reshape(x, (len(batch_sizes), batch, x.shape[1]))
        return reshape(dropout(block, self.dropout, self.training, batch_dim=1), x.shape)

    # ── what is wrong with an argument ────────────────────────────────────────────────────────────────────────────

    def _state_shapes(self, batch: int) -> list[tuple[int, int, int]]:
        count = self.num_layers * (2 if self.bidirectional else 1)
        return [(count, batch, self.proj_size or self.hidden_size), (count, batch, self.hidden_size)][: self.states]

    def _check_input(self, input: Tensor, ranks: tuple[int, ...]) -> None:
        name = self._all_weights[0][0]
        weight, array = self._parameters.get(name), array_of(input)
        if weight is None:
            weight = getattr(self, name)
        shape = array.shape
        if len(shape) in ranks and shape[-1] == self.input_size and array.dtype == weight.array.dtype:
            return
        if input.ndim not in ranks:
            raise ValueError(
                f"{self.mode}: input must be of {' or '.join(map(str, ranks))} dimensions, got shape {input.shape}"
            )
        if input.dtype != weight.dtype:
            raise ValueError(
                f"{self.mode}: input is {input.dtype.name}, but the weights are {weight.dtype.name}; "
                f"use input.to(minipar.{weight.dtype.name}), or convert the model"
            )
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"{self.mode}: the last axis of input must be input_size = {self.input_size}, got shape {input.shape}"
            )

    def _check_rank(self, given: tuple[Tensor, ...], ndim: int) -> None:
        if any(state.ndim != ndim for state in given):
            raise RuntimeError(
                f"{self.mode}: for this input hx must be of {ndim} dimensions, got shapes {[s.shape for s in given]}"
            )

    def extra_repr(self) -> str:
        text = f"{self.input_size}, {self.hidden_size}"
        defaults = {"proj_size": 0, "num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0,
                    "bidirectional": False}  # fmt: skip
        return text + "".join(
            [f", {k}={getattr(self, k)}" for k, default in defaults.items() if getattr(self, k) != default]
        )


def _check_sizes(input_size: int, hidden_size: int, num_layers: int, dropout: float, proj_size: int) -> None:
    if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
        raise ValueError(f"dropout must be a number in [0, 1], not {dropout!r}")
    for name, size in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
        if not isinstance(size, int):
            raise TypeError(f"{name} must be an int, not {type(size).__name__}")
        if size <= 0:
            raise ValueError(f"{name} must be greater than zero, got {size}")
    if not 0 <= proj_size < hidden_size:
        raise ValueError(f"proj_size must be in [0, hidden_size = {hidden_size}), got {proj_size}")

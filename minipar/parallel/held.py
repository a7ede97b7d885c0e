"""What a rank holds of a model that is split: its stages, its parts of parameters, and what gathers them again."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from ..backend import device, device_of
from ..nn.batchnorm import BatchNormNd
from ..nn.embedding import Embedding, EmbeddingBag
from ..nn.module import Module
from ..nn.parameter import Parameter, zero_grad
from ..nn.split import mark_split
from ..nn.utils.spectral_norm import has_spectral_norm
from ..nn.utils.weight_norm import has_weight_norm
from ..tensor import Tensor, wrap
from .data import broadcast_state
from .gradients import BUCKET, GradientExchange
from .inexact.batch_stats import is_by_micro_batch, norm_by_micro_batch
from .inexact.compression import check_compression, exchange_of
from .mesh import Mesh
from .optimizer_state import gather_optimizer_state, take_optimizer_state
from .parts import is_split
from .pipeline.check import check
from .pipeline.orders import make_schedule
from .pipeline.schedule import Schedule
from .pipeline.stages import stages_of_model
from .pipeline.ties import TiedParameters
from .space import spatial
from .state import WholeState
from .sync_batch_norm import SyncBatchNorm
from .tensor import tensor_parallel
from .virtual_shards import ShardTree
from .zero import ShardedParameters, units_of


@dataclass(frozen=True)
class Options:
    """How `parallelize` splits a model, beside the sizes of the mesh: it says what each means."""

    microbatches: int = 1
    schedule: str | Schedule = "1f1b"
    chunks: int = 1
    cut: Sequence[int] | None = None
    recompute: bool = False
    virtual_shards: int | None = None
    zero: int = 0
    shares: str | Sequence[Sequence[float]] = "equal"
    bucket: int = BUCKET
    compress: str | None = None
    batch_stats: str = "whole"
    sequence: bool = False
    row_by_row: tuple[type[Module], ...] = ()

    def check(self, mesh: Mesh) -> None:
        """ValueError for options that do not go together, or not with the mesh."""
        check_compression(self.compress)
        if self.zero not in (0, 1, 2, 3):
            raise ValueError(f"zero must be 0, 1, 2 or 3, not {self.zero!r}")
        if self.compress is not None and (self.zero or self.virtual_shards is not None):
            raise ValueError(f"compress={self.compress!r} does not go with zero or virtual_shards")
        if self.zero and (self.virtual_shards is not None or (self.recompute and self.zero == 3)):
            raise ValueError(f"zero={self.zero} does not go with virtual_shards, nor zero=3 with recompute")
        if isinstance(self.schedule, Schedule):
            self._check_schedule(self.schedule, mesh)
        if self.virtual_shards is not None and self.shares != "equal":
            raise ValueError(f"virtual_shards={self.virtual_shards} are dealt out by a rule: shares must be 'equal'")
        if self.virtual_shards is not None and (mesh.pipeline.size > 1 or mesh.space.size > 1 or self.microbatches > 1):
            raise ValueError(
                f"virtual_shards={self.virtual_shards} goes with the axes data and tensor, and one micro-batch, not "
                f"with {mesh} and microbatches={self.microbatches}"
            )

    def _check_schedule(self, schedule: Schedule, mesh: Mesh) -> None:
        check(schedule)
        if len(schedule.ranks) != mesh.pipeline.size:
            raise ValueError(f"{schedule!r} is not for pipeline={mesh.pipeline.size}")
        if self.microbatches not in (1, schedule.microbatches) or self.chunks != 1:
            raise ValueError(
                f"{schedule!r} says itself how many micro-batches and chunks there are: leave out "
                f"microbatches={self.microbatches} and chunks={self.chunks}"
            )
        if self.virtual_shards is not None and schedule.microbatches > 1:
            raise ValueError(f"virtual_shards={self.virtual_shards} goes with one micro-batch, not with {schedule!r}")


class HeldModel:
    """A rank's part of `model` on `mesh`. Names are those of the unsplit model; its state is put together by them."""

    def __init__(self, model: Module, mesh: Mesh, options: Options) -> None:
        options.check(mesh)
        self.mesh, self._options = mesh, options
        schedule = options.schedule
        if isinstance(schedule, str):
            schedule = make_schedule(schedule, mesh.pipeline.size, options.microbatches, options.chunks)
        self.schedule = schedule
        self._by_micro_batch = is_by_micro_batch(options.batch_stats, mesh, options.virtual_shards)
        model = self._split_layers(model)
        modules = stages_of_model(model, schedule.stages, options.cut)
        self._stages = {stage: modules[stage] for stage in schedule.stages_of(mesh.pipeline.rank)}
        self._place = _place_of(self._stages.values(), mesh)
        self._whole = WholeState(model, mesh)
        self._whole.keep(self._stages.values())
        self._couples_samples = [(name, m) for name, m in model.named_modules() if isinstance(m, BatchNormNd)]
        self._iterates = [(name, m) for name, m in model.named_modules() if has_spectral_norm(m)]
        self._computes_weight = [*self._iterates, *((n, m) for n, m in model.named_modules() if has_weight_norm(m))]
        self._looks_at_indices = [(n, m) for n, m in model.named_modules() if isinstance(m, Embedding | EmbeddingBag)]
        self._ties = TiedParameters(modules, schedule.placement, mesh.pipeline)
        self._tree = None if options.virtual_shards is None else ShardTree(mesh.data, options.virtual_shards)
        self._sharded: ShardedParameters | None = None
        held = [p for _, p in self.named_parameters()]
        if options.zero:
            self._sharded = self._shard(held)
            self._exchange: GradientExchange = self._sharded.exchange
        else:
            self._exchange = exchange_of(options.compress, held, mesh.replicas, options.bucket)
        for module in self._stages.values():
            for p in module.parameters():
                self._exchange.uses[id(p)] = self._exchange.uses.get(id(p), 0) + 1
        self._split_by = _split_by(mesh, options.zero)
        self._marked: list[Parameter] = []
        if self._split_by:
            self._marked = list(self.parameters())
            mark_split([*model.parameters(), *self._marked], self._split_by)

    def _split_layers(self, model: Module) -> Module:
        """The model with layers that are parts of themselves, from rank 0's parameters and buffers."""
        mesh = self.mesh
        broadcast_state(model, mesh.comm)
        if mesh.tensor.size > 1:
            model = tensor_parallel(model, mesh.tensor, self._options.sequence)
        self._gives_rows = False
        if mesh.space.size > 1:
            model = spatial(model, mesh.space, mesh.replicas, self._options.row_by_row)
            self._gives_rows = model.gives_rows
        if self._by_micro_batch:
            norm_by_micro_batch(model)
        elif mesh.replicas.size > 1:
            model = SyncBatchNorm.convert_sync_batchnorm(model, mesh.replicas)
        return model

    def _shard(self, held: list[Parameter]) -> ShardedParameters:
        stage = self._options.zero
        if self._ties.exist and stage > 1:
            raise ValueError(f"zero={stage} does not go with parameters that several stages share: use zero=1")
        units = [unit for module in self._stages.values() for unit in units_of(module)]
        for name, module in self._computes_weight if stage == 3 else ():
            if any(module is unit for unit in units):  # inside a unit, it runs when the unit's are together
                raise ValueError(
                    f"layer {name!r}: weight_norm and spectral_norm read parameters before the layer runs, and zero=3 "
                    "puts them together when it does: use zero=2"
                )
        sharded = ShardedParameters(held, self.mesh.replicas, stage, units, self._options.bucket)
        self._whole.keep_pieces([p for p in held if p.tracked], sharded.pieces)
        return sharded

    # -- parameters ------------------------------------------------------------------------------------------------

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """(name in the unsplit model, parameter) of what this rank holds, each once."""
        held = {id(p): p for module in self._stages.values() for p in module.parameters()}
        if self._sharded is not None:
            held = {id(p): p for p in held.values() if not p.tracked} | {id(p): p for _, p in self._sharded.pieces}
        return ((self._whole.name(p), p) for p in held.values())

    def modules(self) -> list[Module]:
        """The stages of the model that this rank runs."""
        return list(self._stages.values())

    def parameters(self) -> Iterator[Parameter]:
        """What this rank holds, for an optimizer; never nothing: without any, an empty parameter."""
        held = [p for _, p in self.named_parameters()]
        if not held:
            held = [Parameter(wrap(np.empty(0, np.float32)))]
            mark_split(held, self._split_by)
        return iter(held)

    def _mark_gradients(self) -> None:
        """Say of the gradients, too, that they are a rank's share."""
        mark_split([p.grad for p in self._marked if p.grad is not None], self._split_by)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or fill them with zeros."""
        zero_grad([p for _, p in self.named_parameters()], set_to_none)

    def train(self, mode: bool = True) -> Self:
        """Every layer in training mode (or not). Returns itself."""
        for module in self._stages.values():
            module.train(mode)
        return self

    def eval(self) -> Self:
        """Every layer in evaluation mode. Returns itself."""
        return self.train(False)

    def clip_grad_norm_(self, max_norm: float) -> float:
        """Scale all gradients so that their 2-norm, over the whole model, is at most `max_norm`; returns what it was.

        Call it between `loss_and_gradients` and the optimizer's step. ValueError unless `max_norm` is positive.
        """
        if not max_norm > 0:
            raise ValueError(f"max_norm must be positive, not {max_norm}")
        counted = [p for p in self._held_first() if p.grad is not None]
        squares = sum((float((p.grad.array.astype(np.float64) ** 2).sum()) for p in counted), 0.0)
        norm = math.sqrt(self.mesh.comm.all_reduce(np.array(squares)).item())
        if norm > max_norm:
            for _, p in self.named_parameters():
                if p.grad is not None:
                    p.grad.array *= p.grad.array.dtype.type(max_norm / (norm + 1e-6))
        return norm

    def _held_first(self) -> list[Parameter]:
        """This rank's parameters, without those that a rank before it holds as well."""
        replica, tensor = self.mesh.replicas.rank, self.mesh.tensor.rank
        whole_of = {} if self._sharded is None else {id(piece): p for p, piece in self._sharded.pieces}
        return [
            p
            for _, p in self.named_parameters()
            if self._ties.first_owner(whole_of.get(id(p), p))
            and (self._sharded is not None or not replica)
            and (is_split(p) or not tensor)
        ]

    # -- state -----------------------------------------------------------------------------------------------------

    def state_dict(self) -> OrderedDict[str, Tensor]:
        """The unsplit model's state dict, a copy, on every rank. Collective."""
        return self._whole.gather(lambda tensor: tensor.array)

    def gradients(self) -> OrderedDict[str, Tensor]:
        """The gradients of the unsplit model's parameters (of those that have one), on every rank. Collective."""
        return self._whole.gather(lambda p: None if p.grad is None else p.grad.array, all_names=False)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take this rank's parts of an unsplit model's state dict, whatever layout it was saved from.

        RuntimeError naming every missing and unexpected key, and every shape that does not fit; then nothing changes.
        """
        self._whole.take(state_dict)
        if self._sharded is not None:
            self._sharded.tell_parameters()

    def optimizer_state_dict(self, optimizer: Any) -> dict[str, Any]:
        """The state dict that `optimizer`, of this rank's parameters, would have in one process. Collective.

        (Parameters of one group in the unsplit model's order.)
        """
        return gather_optimizer_state(optimizer, self._whole, self.mesh)

    def load_optimizer_state_dict(self, optimizer: Any, state_dict: dict[str, Any]) -> None:
        """Give `optimizer` this rank's parts of such a state dict, whatever layout it was saved from. Collective."""
        take_optimizer_state(optimizer, state_dict, self._whole, self.mesh)


def _split_by(mesh: Mesh, zero: int) -> str:
    """What of a layout leaves a rank without the whole model; "" if nothing does."""
    splits = [f"{axis}={mesh.sizes[axis]}" for axis in ("pipeline", "tensor") if mesh.sizes[axis] > 1]
    return ", ".join([*splits, f"zero={zero}"] if zero and mesh.replicas.size > 1 else splits)


def _place_of(stages: Iterable[Module], mesh: Mesh) -> device:
    """Where this rank computes: where its parameters are, or else (it has none, or many places) where it was put."""
    places = {device_of(p.array) for module in stages for p in module.parameters()}
    return places.pop() if len(places) == 1 else mesh.comm.device

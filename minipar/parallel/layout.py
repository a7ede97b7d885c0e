"""A layout in one line: how a training step is split, as one writes it on a command line.

data=2    pipeline=2,microbatches=8,cut=measured    data=2,pipeline=2    tensor=2    auto
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from ..nn.module import Module
from ..tensor import Tensor
from .comm import Communicator
from .inexact.compression import check_compression
from .mesh import AXES, Mesh
from .parallelize import parallelize
from .pipeline.orders import SCHEDULES
from .pipeline.stages import measured_cut
from .shares import share
from .trainer import ParallelModel

_KINDS = {"int": int, "str": str, "bool": bool}


@dataclass(frozen=True)
class Layout:
    """The sizes of the mesh's axes, and how a batch goes through it (see `parallelize`).

    `cut` says what the stages of a pipeline have as equal as can be: their numbers of "parameters", the same on every
    machine, or the time they take, "measured" when the model is split (`first_layers`).

    >>> layout = minipar.parallel.Layout.parse("data=2,pipeline=2,microbatches=4")
    >>> layout.ranks, str(layout)
    (4, 'data=2,pipeline=2,microbatches=4')
    """

    data: int = 1
    pipeline: int = 1
    space: int = 1
    tensor: int = 1
    microbatches: int = 1
    schedule: str = "1f1b"
    chunks: int = 1
    cut: str = "parameters"
    recompute: bool = False
    virtual_shards: int | None = None
    zero: int = 0
    shares: str = "equal"
    compress: str | None = None
    batch_stats: str = "whole"
    sequence: bool = False

    def __post_init__(self) -> None:
        if self.cut not in ("parameters", "measured"):
            raise ValueError(
                f"cut must be parameters or measured, not {self.cut!r} (numbers of layers are an option of parallelize)"
            )

    @classmethod
    def parse(cls, text: str, ranks: int | None = None) -> Layout:
        """The layout that `text` says: name=value, … of the fields above; or "auto", for `ranks` ranks.

        "auto" is data parallelism alone: the one layout that fits any model, and is the fastest wherever the model fits
        into memory. ValueError naming what is unknown, for values that are none, and for "auto" without `ranks`.
        """
        if text.strip() == "auto":
            if ranks is None:
                raise ValueError("layout 'auto' needs the number of ranks")
            return cls(data=ranks)
        given: dict[str, Any] = {}
        kinds = {field.name: _KINDS[str(field.type).removesuffix(" | None")] for field in fields(cls)}
        for item in filter(None, (item.strip() for item in text.split(","))):
            name, equals, value = item.partition("=")
            if name not in kinds or name in given or not equals:
                names = ", ".join(kinds)
                raise ValueError(f"layout {text!r}: {item!r} is not name=value with one of {names}, each once")
            given[name] = _value(text, item, value, kinds[name])
        layout = cls(**given)
        if layout.shares not in ("equal", "measured"):
            raise ValueError(f"layout {text!r}: shares must be equal or measured, not {layout.shares!r}")
        if layout.batch_stats not in ("whole", "micro"):
            raise ValueError(f"layout {text!r}: batch_stats must be whole or micro, not {layout.batch_stats!r}")
        check_compression(layout.compress)
        if layout.schedule not in SCHEDULES:
            raise ValueError(
                f"layout {text!r}: schedule must be one of {', '.join(SCHEDULES)}, not {layout.schedule!r}"
            )
        return layout

    @property
    def ranks(self) -> int:
        """How many ranks it takes."""
        return self.data * self.pipeline * self.space * self.tensor

    def parallelize(
        self, model: Module, comm: Communicator, sample: Tensor | None = None, **options: Any
    ) -> ParallelModel:
        """`model` on the ranks of `comm` in this layout; `sample`, the inputs of a batch, is for cut=measured alone.

        `options` are those of `parallelize`. They come before what the layout says: what another run has measured, say,
        to get its bits again (`shares=record, cut=[3]`).
        """
        if "cut" not in options:
            options["cut"] = self.first_layers(model, comm, sample)
        said = {**asdict(self), **options}
        sizes = {axis: said.pop(axis) for axis in AXES}
        return parallelize(model, Mesh(comm, **sizes), **said)

    def first_layers(self, model: Module, comm: Communicator, sample: Tensor | None = None) -> list[int] | None:
        """Where cut=measured cuts the model, as `parallelize(cut=…)` takes it; None without a cut by time.

        Every rank of `comm` calls it with the inputs of a whole batch; rank 0 runs the layers on the first micro-batch
        of these (`pipeline.measured_cut`). ValueError for cut=measured without a sample.

        >>> def cut(comm):
        ...     layout = minipar.parallel.Layout.parse("pipeline=2,microbatches=4,cut=measured")
        ...     wide = nn.Linear(8, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 8)
        ...     return layout.first_layers(nn.Sequential(*wide), comm, minipar.ones(256, 8)) in ([2], [3])
        >>> minipar.parallel.launch(cut, workers=2, backend="thread")
        [True, True]
        """
        if self.cut != "measured" or self.pipeline * self.chunks == 1:
            return None
        if sample is None:
            raise ValueError(
                f"layout {self}: cut=measured runs the layers on some inputs, and has none: pass sample=x, the inputs "
                "of a batch, or say where to cut yourself, cut=[first layer of each stage but the first]"
            )
        of_rank_0 = share(len(sample), 0, self.data).stop
        micro_batch = sample[: share(of_rank_0, 0, self.microbatches).stop]
        return measured_cut(model, micro_batch, self.pipeline * self.chunks, comm)

    def __str__(self) -> str:
        said = [f"{f.name}={getattr(self, f.name)}" for f in fields(self) if getattr(self, f.name) != f.default]
        return ",".join(said) or "data=1"


def _value(text: str, item: str, value: str, kind: type) -> Any:
    if kind is str:
        return value
    if kind is bool:
        if value not in ("True", "False"):
            raise ValueError(f"layout {text!r}: {item!r} must be True or False")
        return value == "True"
    if not value.isdecimal() or (int(value) < 1 and not item.startswith("zero")):
        raise ValueError(f"layout {text!r}: {item!r} must be a whole number from 1 on")
    return int(value)

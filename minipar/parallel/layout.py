"""A layout in one line: how a training step is split, as one writes it on a command line.

data=2    pipeline=2,microbatches=8,schedule=1f1b    data=2,pipeline=2    tensor=2    auto
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from ..nn.module import Module
from .comm import Communicator
from .inexact.compression import check_compression
from .mesh import AXES, Mesh
from .parallelize import parallelize
from .pipeline.orders import SCHEDULES
from .trainer import ParallelModel

_KINDS = {"int": int, "str": str, "bool": bool}


@dataclass(frozen=True)
class Layout:
    """The sizes of the mesh's axes, and how a batch goes through it (see `parallelize`).

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
    recompute: bool = False
    virtual_shards: int | None = None
    zero: int = 0
    shares: str = "equal"
    compress: str | None = None
    batch_stats: str = "whole"
    sequence: bool = False

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

    def parallelize(self, model: Module, comm: Communicator, **options: Any) -> ParallelModel:
        """`model` on the ranks of `comm` in this layout; `options` are those of `parallelize` that it does not say."""
        said = asdict(self)
        sizes = {axis: said.pop(axis) for axis in AXES}
        return parallelize(model, Mesh(comm, **sizes), **said, **options)

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

"""The ways to split a training step that the matrix goes through, and which of them a model is refused in."""

from __future__ import annotations

from dataclasses import replace

from minipar.parallel import Layout
from tests.parallel.equivalence.models import ZOO

STRATEGIES = {  # number of micro-batches apart, which goes with each of them
    "one rank": "data=1",
    "one rank, recomputed": "recompute=True",
    "data over 2": "data=2",
    "data over 3": "data=3",
    "data over 4": "data=4",
    "virtual shards": "data=3,virtual_shards=4",
    "measured shares": "data=2,shares=measured",
    "ZeRO 1": "data=2,zero=1",
    "ZeRO 2": "data=3,zero=2",
    "ZeRO 3": "data=2,zero=3",
    "sequential": "pipeline=2,schedule=sequential",
    "gpipe": "pipeline=3,schedule=gpipe",
    "1f1b": "pipeline=3,schedule=1f1b",
    "1f1b, recomputed": "pipeline=2,schedule=1f1b,recompute=True",
    "interleaved": "pipeline=2,schedule=interleaved,chunks=2",
    "zb-h1": "pipeline=3,schedule=zb-h1",
    "zb-h1, recomputed": "pipeline=2,schedule=zb-h1,recompute=True",
    "tensor over 2": "tensor=2",
    "tensor over 3": "tensor=3",
    "tensor over 2, sequence": "tensor=2,sequence=True",
    "space over 2": "space=2",
    "space over 3": "space=3",
    "data × pipeline": "data=2,pipeline=2,schedule=1f1b",
    "data × pipeline, ZeRO 1": "data=2,pipeline=2,schedule=gpipe,zero=1",
    "data × interleaved": "data=2,pipeline=2,schedule=interleaved,chunks=2",
    "data × tensor": "data=2,tensor=2",
    "data × tensor, ZeRO 2": "data=2,tensor=2,zero=2",
    "data × space": "data=2,space=2",
    "pipeline × tensor": "pipeline=2,tensor=2,schedule=gpipe",
    "pipeline × tensor, sequence": "pipeline=2,tensor=2,sequence=True",
    "pipeline × space": "pipeline=2,space=2,schedule=zb-h1",
    "space × tensor": "space=2,tensor=2",
    "data × pipeline × tensor": "data=2,pipeline=2,tensor=2",
    "data × pipeline × space": "data=2,pipeline=2,space=2,schedule=gpipe",
    "data × space × tensor": "data=2,space=2,tensor=2",
    "pipeline × space × tensor": "pipeline=2,space=2,tensor=2,recompute=True",
}
HYBRIDS = [name for name in STRATEGIES if "×" in name]


def layout_of(strategy: str, microbatches: int) -> Layout:
    return replace(Layout.parse(STRATEGIES[strategy]), microbatches=microbatches)


def refusal(strategy: str, model: str, microbatches: int) -> str | None:
    """What the error says where a model cannot be trained so (a regular expression); None where it can."""
    layout, kind = layout_of(strategy, microbatches), ZOO[model]
    if layout.virtual_shards and microbatches > 1:
        return r"^ValueError: virtual_shards=4 goes with the axes data and tensor, and one micro-batch"
    if layout.schedule == "interleaved" and microbatches % layout.pipeline:
        return rf"^ValueError: interleaved: microbatches={microbatches} must be a multiple of the 2 ranks"
    if layout.space > 1 and not kind.images:
        return rf"^(NotImplementedError: spatial: .* cannot be split by rows|ValueError: space={layout.space} splits)"
    if kind.couples_samples and (layout.virtual_shards or microbatches > 1):
        return r"^RuntimeError: layer '1' \(\w*BatchNorm\w*\) takes its statistics from the whole batch.*use GroupNorm"
    return None

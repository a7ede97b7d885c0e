"""The bars: how fast this is meant to be on an H200-class GPU, beside what was measured."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from . import cudnn, fused
from .cases import RESNET18
from .ladder import SIGNIFICANT
from .steps import FAMILIES, Step
from .timing import Launch, Timing

BARRED_SIZES = (2048, 4096, 8192)
OF_CUBLAS = {"double-buffered": 0.85, "tf32": 0.50}  # the rungs by default, and with precision "high"
LAUNCH_SECONDS = 10e-6
OF_CUDNN = 0.60  # the geometric mean over all convolutions of ResNet-18, in float32
OF_PYTORCH = 1.0
OF_CUPYS_LINES = 1.0


@dataclass(frozen=True)
class Verdict:
    """One bar, in words, and what was measured (None: nothing), of which `met` says whether it is enough."""

    name: str
    wanted: str
    found: str | None
    met: bool

    @property
    def answer(self) -> str:
        return "not measured" if self.found is None else "met" if self.met else "NOT met"


def verdicts(timings: Sequence[Timing], launches: Sequence[Launch], steps: Sequence[Step]) -> Iterator[Verdict]:
    """Every bar, measured or not."""
    ratios = {(timing.name, timing.case): timing.ratio for timing in timings}
    for rung, least in OF_CUBLAS.items():
        precision = "TF32" if rung in SIGNIFICANT else "float32"
        for n in BARRED_SIZES:
            ratio = ratios.get((f"matmul, {rung}", f"{n}×{n}×{n}"))
            yield _verdict(f"matmul {n}³ in {precision} ÷ cuBLAS", f"≥ {least:.2f}", ratio, "{:.2f}", least.__le__)
    for kernel in cudnn.KERNELS:
        found = _over_resnet18(ratios, cudnn.title(kernel, "float32"))
        name = f"{kernel} over ResNet-18 in float32 ÷ cuDNN"
        yield _verdict(name, f"≥ {OF_CUDNN:.2f}", found, "{:.2f}", OF_CUDNN.__le__)
    for kernel in fused.CASES:
        found = next((timing.ratio for timing in timings if timing.name == kernel), None)
        name = f"{kernel} ÷ {fused.OPPONENT}"
        yield _verdict(name, f"≥ {OF_CUPYS_LINES:.2f}", found, "{:.2f}", OF_CUPYS_LINES.__le__)
    seconds = launches[0].seconds if launches else None
    yield _verdict("launch overhead", "≤ 10 µs", seconds and seconds * 1e6, "{:.1f} µs", (LAUNCH_SECONDS * 1e6).__ge__)
    beside = {step.name: step.ratio for step in steps}
    for family in FAMILIES:
        name = f"training step, {family} ÷ PyTorch"
        yield _verdict(name, f"≥ {OF_PYTORCH:.2f}", beside.get(family), "{:.2f}", OF_PYTORCH.__le__)


def _over_resnet18(ratios: Mapping[tuple[str, str], float], kernel: str) -> float | None:
    """The geometric mean of a kernel's ratios, each as often as the layer is there; None if one is missing."""
    found = [(ratios.get((kernel, str(c))), times) for c, times in RESNET18.items()]
    measured = [(ratio, times) for ratio, times in found if ratio]
    if len(measured) < len(found):
        return None
    layers = sum(times for _, times in measured)
    return math.exp(sum(times * math.log(ratio) for ratio, times in measured) / layers)


def _verdict(name: str, wanted: str, found: float | None, shown: str, enough: Callable[[float], bool]) -> Verdict:
    if found is None:
        return Verdict(name, wanted, None, False)
    return Verdict(name, wanted, shown.format(found), bool(enough(found)))

"""`minipar train … --compare-workers`: one worker and several on the same data, layer by layer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..parallel import Layout
from ..parallel.equality import (
    TOLERANCE,
    Difference,
    compare_gradients,
    compare_parameters,
    first_difference,
)
from .output import say
from .train import launch_training
from .training import COMPARED_STEPS, Settings

WHOLE_RUN = 1e-8  # for float64: rounding may grow over a whole run, but not to more than this


def compare_workers(settings: Settings) -> int:
    """One worker against the settings' layout: print the table; exit code 0 if the promise holds, 1 if it is broken."""
    tolerance = TOLERANCE[np.dtype(settings.dtype)]
    split = f"{settings.layout.ranks}, {settings.layout}"
    say(f"{settings.data}, {settings.dtype}, seed {settings.seed}: 1 worker against {split}")
    alone = launch_training(replace(settings, layout=Layout()), table=False)
    together = launch_training(settings, table=False)
    steps = min(COMPARED_STEPS, len(alone.step_losses))
    got, expected = (r.after_compared_steps or r.final for r in (together, alone))
    gradients = compare_gradients(together.first_gradients, alone.first_gradients)
    parameters = compare_parameters(got, expected, alone.start, settings.lr)
    whole = compare_parameters(together.final, alone.final, alone.start, settings.lr)

    width = max(len(row.name) for row in parameters)
    heads = ("shape", "gradient, step 1", f"after {steps} steps")
    print(f"\n{'tensor':<{width}}" + "".join(f"  {head:>16}" for head in heads) + f"  {'whole run':>10}")
    for g, p, w in zip(gradients, parameters, whole):
        print(f"{p.name:<{width}}  {p.shape!s:>16}  {g.relative:>16.1e}  {p.relative:>16.1e}  {w.relative:>10.1e}")
    furthest = max(abs(a - b) / max(abs(a), 1e-30) for a, b in zip(alone.step_losses, together.step_losses))
    print(f"\nlargest relative difference of a step's loss: {furthest:.1e}")

    kept = _verdict("gradients of step 1", gradients, tolerance)
    kept &= _verdict(f"parameters after {steps} steps", parameters, tolerance)
    if settings.dtype == "float64":
        kept &= _verdict(f"parameters after all {len(alone.step_losses)} steps", whole, WHOLE_RUN)
    else:
        print("the whole run is not judged in float32: rounding grows with every step (--dtype float64 judges it)")
    return 0 if kept else 1


def _verdict(what: str, rows: list[Difference], tolerance: float) -> bool:
    broken = first_difference(rows, tolerance)
    largest = max(row.relative for row in rows)
    if broken is None:
        print(f"{what}: equal (largest difference {largest:.1e}, tolerance {tolerance:.0e})")
    else:
        print(f"{what}: DIFFERENT, first in {broken.name} ({broken.relative:.1e}, tolerance {tolerance:.0e})")
    return broken is None

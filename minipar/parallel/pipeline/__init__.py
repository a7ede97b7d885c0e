"""Pipeline parallelism: schedules as data, and the cut of a model into stages.

    schedule.py         what a rank does: the instructions, and a Schedule of them
    orders.py           the schedules of the literature
    check.py            whether a schedule is right
    simulate.py         how long it takes, how much it waits, what it keeps
    draw.py             a picture of it, as text
    layers.py           the layers of a model, and what each costs
    cut.py              the best cut of them into stages
    stages.py           a model taken apart into these
    run.py              a rank carries out its instructions
    laid_over.py        the schedule, as it was measured
    split_backward.py   a backward pass in two parts
    ties.py             weights that several stages share

`parallel.parallelize` puts them together; docs/pipeline.md is the introduction.
"""

from .check import check
from .cut import cut
from .draw import draw
from .laid_over import lay_over
from .layers import LayerCost, layers, measure
from .orders import SCHEDULES, make_schedule
from .schedule import (
    ACTIVATION,
    GRADIENT,
    Backward,
    BackwardInput,
    BackwardWeight,
    Forward,
    Receive,
    Schedule,
    Send,
)
from .simulate import Simulation, Timed, simulate
from .stages import measured_cut, stages_of_model

__all__ = [
    "ACTIVATION",
    "GRADIENT",
    "SCHEDULES",
    "Backward",
    "BackwardInput",
    "BackwardWeight",
    "Forward",
    "LayerCost",
    "Receive",
    "Schedule",
    "Send",
    "Simulation",
    "Timed",
    "check",
    "cut",
    "draw",
    "lay_over",
    "layers",
    "make_schedule",
    "measure",
    "measured_cut",
    "simulate",
    "stages_of_model",
]

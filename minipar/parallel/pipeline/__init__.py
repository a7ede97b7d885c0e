"""Pipeline parallelism: schedules as data, and the cut of a model into stages.

schedule.py     what a rank does: the instructions, and a Schedule of them
orders.py       the schedules of the literature
"""

from .orders import SCHEDULES, make_schedule
from .schedule import (
    ACTIVATION,
    GRADIENT,
    Backward,
    BackwardInput,
    BackwardWeight,
    Compute,
    Forward,
    Instruction,
    Message,
    Receive,
    Schedule,
    Send,
    with_communication,
)

__all__ = [
    "ACTIVATION",
    "GRADIENT",
    "SCHEDULES",
    "Backward",
    "BackwardInput",
    "BackwardWeight",
    "Compute",
    "Forward",
    "Instruction",
    "Message",
    "Receive",
    "Schedule",
    "Send",
    "make_schedule",
    "with_communication",
]

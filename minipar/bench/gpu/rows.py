"""The rows of a report: each says one thing that was found. A part of the run makes them, one after the other.

They travel from a part's process as lines of JSON.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from .bandwidth import Bandwidth
from .check import Check
from .nccl import AllReduce
from .steps import Step
from .timing import Launch, Timing


@dataclass(frozen=True)
class Condition:
    """Something about the machine or the run, by name."""

    name: str
    text: str


@dataclass(frozen=True)
class Note:
    """Something that could not be measured here, and is no mistake: one line."""

    text: str


@dataclass(frozen=True)
class Failure:
    """A part that did not run to its end, and why: one line."""

    text: str


Row = AllReduce | Bandwidth | Check | Condition | Failure | Launch | Note | Step | Timing
KINDS: dict[str, Any] = {kind.__name__: kind for kind in Row.__args__}


def to_line(row: Row) -> str:
    return json.dumps([type(row).__name__, asdict(row)])


def from_line(line: str) -> Row:
    kind, fields = json.loads(line)
    return KINDS[kind](**fields)

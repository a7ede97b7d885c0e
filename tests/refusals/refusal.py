"""What one row of the table of bad inputs is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Refusal:
    """One wrong call: of which public name, how, and what the error must say.

    `of` is the name as a user writes it after `minipar.` ("softmax", "nn.Conv2d", "nn.functional.pad", "Tensor.view").
    `call` gets the module minipar. `says` are regular expressions that must all be found in the message: the argument's
    name, what was given, and what would be right. A message that only NumPy or Python could have written is no answer.
    """

    of: str
    why: str
    call: Callable[[Any], Any]
    error: type[BaseException]
    says: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.of}: {self.why}"

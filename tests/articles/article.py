"""An article's script: its text as printed, what is wrong in it, and how it is run in minipar or in PyTorch."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).parent / "scripts"


@dataclass(frozen=True)
class Correction:
    """One thing that is wrong in a script: `old` stands in it once and becomes `new`."""

    old: str
    new: str
    why: str


@dataclass(frozen=True)
class Article:
    """`scripts/<name>.py` and its corrections. The data that a script takes for granted is given to `run`."""

    name: str
    corrections: tuple[Correction, ...] = ()

    @property
    def printed(self) -> str:
        return (SCRIPTS / f"{self.name}.py").read_text()

    def text(self, library: str, leave_out: Correction | None = None) -> str:
        """The script for "torch" or "minipar", corrected, but for the correction that is left out."""
        text = self.printed
        for correction in self.corrections:
            assert text.count(correction.old) == 1, correction
            if correction is not leave_out:
                text = text.replace(correction.old, correction.new)
        return ported(text) if library == "minipar" else text

    def run(self, library: str, data: Mapping[str, Any], leave_out: Correction | None = None) -> dict[str, Any]:
        """Execute the script beside `data`; the names that it leaves behind."""
        names = {"__name__": "__main__", **data}
        exec(compile(self.text(library, leave_out), f"{self.name}.py for {library}", "exec"), names)
        return names


def ported(text: str) -> str:
    """The text with its import lines, and nothing else, changed from torch to minipar."""
    text = re.sub(r"^import torch$", "import minipar as torch", text, flags=re.MULTILINE)
    return re.sub(r"^(import|from) torch\.", r"\1 minipar.", text, flags=re.MULTILINE)

"""What a cubin really does: its machine instructions (SASS), by NVIDIA's nvdisasm, which comes as a wheel.

PTX still says what a kernel means; ptxas, which makes the cubin, decides how: which loads are joined, what is unrolled,
which index is added up instead of computed. (*CUDA Binary Utilities*, "nvdisasm" and "Instruction Set Reference".)
"""

import re
import shutil
import subprocess
import tempfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

INSTALL = "pip install nvidia-cuda-nvdisasm"

_LABEL = re.compile(r"^\s*(\.L\w+):")
_INSTRUCTION = re.compile(r"^\s*/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)\s*([^;]*);")
_TARGET = re.compile(r"`\((\.L\w+)\)")


class Instruction(NamedTuple):
    """``name`` with its modifiers, "LDG.E.128"; the ``operation`` alone is "LDG"."""

    name: str
    operands: str

    @property
    def operation(self) -> str:
        return self.name.partition(".")[0]


def disassembler() -> str | None:
    """The program, on the path or in its wheel; None if it is in neither."""
    on_path = shutil.which("nvdisasm")
    if on_path:
        return on_path
    nvidia = find_spec("nvidia")
    folders = nvidia.submodule_search_locations if nvidia else None
    return next((str(found) for folder in folders or () for found in Path(folder).glob("*/bin/nvdisasm")), None)


def disassemble(code: bytes) -> str:
    """A cubin as text. FileNotFoundError without nvdisasm; RuntimeError with its message if it refuses the cubin."""
    program = disassembler()
    if program is None:
        raise FileNotFoundError(f"reading machine code needs nvdisasm: {INSTALL}")
    with tempfile.NamedTemporaryFile(suffix=".cubin") as cubin:
        cubin.write(code)
        cubin.flush()
        done = subprocess.run([program, "-c", cubin.name], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"nvdisasm refuses the cubin: {done.stderr.strip()}")
    return done.stdout


def instructions(text: str) -> list[Instruction]:
    """All instructions of ``disassemble``'s text, but for the padding at a function's end."""
    found = (_INSTRUCTION.match(line) for line in text.splitlines())
    return [Instruction(*match.groups()) for match in found if match and match[1] != "NOP"]


def main_loop(text: str) -> list[Instruction]:
    """The instructions of the loop with the most arithmetic: from a label to the last branch back to it.

    Of loops in each other the inner one, where both have as many FFMA and HMMA. Empty if there is no loop.
    """
    lines = text.splitlines()
    labels: dict[str, int] = {}
    best: list[Instruction] = []
    for i, line in enumerate(lines):
        if label := _LABEL.match(line):
            labels[label[1]] = i
        elif (target := _TARGET.search(line)) and target[1] in labels and "BRA" in line:
            body = instructions("\n".join(lines[labels[target[1]] : i + 1]))
            if (_arithmetic(body), -len(body)) > (_arithmetic(best), -len(best)):
                best = body
    return best if _arithmetic(best) else []


def _arithmetic(body: list[Instruction]) -> int:
    counts = Counter(instruction.operation for instruction in body)
    return counts["FFMA"] + counts["HMMA"]

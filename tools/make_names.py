"""Writes docs/pytorch-names.md: what PyTorch calls public, and whether minipar has it, differs, or lacks it.

    python tools/make_names.py            # write the page, from tools/pytorch_names.json and docs/differences.md
    python tools/make_names.py --check    # exit 1 if the page is not what they say now

`tools/pytorch_names.json` holds, for each room, the documented names that are listed and, by family, those left out.
tests/docs compares it with the PyTorch that is installed.
"""

from __future__ import annotations

import importlib
import json
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from make_api import ROOT, write

NAMES = ROOT / "tools" / "pytorch_names.json"
DIFFERENCES = ROOT / "docs" / "differences.md"
ROOMS = [
    "torch",
    "torch.Tensor",
    "torch.nn",
    "torch.nn.functional",
    "torch.nn.init",
    "torch.nn.utils",
    "torch.nn.utils.rnn",
    "torch.optim",
    "torch.optim.lr_scheduler",
    "torch.autograd",
    "torch.autograd.functional",
    "torch.utils.data",
    "torch.linalg",
    "torch.special",
]
CONTEXTS = ["Generator", "Size", "Tensor", "device", "enable_grad", "finfo", "iinfo", "inference_mode", "no_grad"]
CONTEXTS += ["autocast", "set_grad_enabled"]  # classes of `torch` that a script calls
STATES = ("supported", "differs", "absent")
Row = tuple[str, str, str]
OPENING = """<!-- Made by tools/make_names.py from docs/differences.md and tools/pytorch_names.json. -->

# PyTorch's names

Every public name of these rooms of PyTorch 2.13, and whether minipar has it. *Supported*: the same arguments in the
same order, the same defaults, shapes, dtypes, values and gradients. *Differs*: how, is said here and in the list of
[differences](differences.md). *Absent*: using it is an AttributeError. `out=` is absent everywhere."""
RULE = """Listed is what PyTorch documents, that is, what has a docstring; of `torch` itself functions and a few
classes, also those that have their docstring in `nn.functional` or `Tensor`; and what is here and has none there.
Constants, element types and layouts are not listed. Left out by family, whether minipar has a few or not, are:"""


Listing = dict[str, dict[str, list[str]]]  # room → "listed", or the family that is left out → names


def documented(room: str) -> list[str]:
    """The public names of the PyTorch that is installed, by the rule that the page states."""
    names = set(_documented(_place(room)))
    if room == "torch":
        place = _place(room)
        elsewhere = {n for r in ("torch.nn.functional", "torch.Tensor") for n in _documented(_place(r))}
        names |= {n for n in elsewhere & set(dir(place)) if not n.endswith("_")}
        names = {n for n in names if n in CONTEXTS or _is_function(getattr(place, n))}
    return sorted(names)


def _place(room: str) -> Any:
    if room == "torch.Tensor":
        return importlib.import_module("torch").Tensor
    return importlib.import_module(room)


def _is_function(thing: Any) -> bool:
    return callable(thing) and not isinstance(thing, (type, types.ModuleType))


def _documented(place: Any) -> list[str]:
    """The public names with a docstring, of what is the place's own and not imported from elsewhere."""
    names = []
    for n in dir(place):
        thing = place.__dict__.get(n, getattr(place, n, None))
        own = isinstance(place, type) or n in getattr(place, "__all__", ()) or _is_own(place, thing)
        if not n.startswith("_") and own and not isinstance(thing, types.ModuleType) and thing.__doc__:
            names.append(n)
    return names


def _is_own(place: Any, thing: Any) -> bool:
    if place.__name__ in ("torch", "torch.nn"):
        return True
    module = getattr(thing, "__module__", None) or place.__name__
    if place.__name__ == "torch.optim.lr_scheduler":
        return callable(thing) and module == place.__name__
    return callable(thing) and (module.startswith("torch") and module != "torch.overrides" and module != "torch.jit")


def differences(text: str) -> dict[str, str]:
    """Name as written after `torch.` → what minipar does, from the tables of docs/differences.md."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]
        if line.startswith("| `") and len(cells) >= 3:
            for name in re.findall(r"`([A-Za-z_.0-9]+)`", cells[0]):
                found[name] = f"{found[name]}; {cells[2]}" if name in found else cells[2]
    return found


def has(room: str, name: str) -> bool:
    place: Any = importlib.import_module("minipar")
    for part in room.split(".")[1:]:
        place = getattr(place, part, None) or importlib.import_module(f"{place.__name__}.{part}")
    return hasattr(place, name)


def rows(room: str, names: list[str], differing: dict[str, str]) -> list[Row]:
    """(name, state, how) of every name."""
    made = []
    for name in names:
        qualified = f"{room}.{name}".removeprefix("torch.")
        if not has(room, name):
            made.append((name, "absent", differing.get(qualified, "")))
        elif qualified in differing:
            made.append((name, "differs", differing[qualified]))
        else:
            made.append((name, "supported", ""))
    return made


def page() -> str:
    listing: Listing = json.loads(NAMES.read_text())
    differing = differences(DIFFERENCES.read_text())
    tables = {room: rows(room, names["listed"], differing) for room, names in listing.items()}
    return "\n\n".join([OPENING, _counts(tables), RULE, _families(listing), *_rooms(tables)]) + "\n"


def _counts(tables: dict[str, list[Row]]) -> str:
    def line(title: str, found: list[Row]) -> str:
        numbers = [sum(state == row[1] for row in found) for state in STATES]
        return f"| {title} | " + " | ".join(map(str, [*numbers, len(found)])) + " |"

    lines = ["| room | supported | differs | absent | names |", "|---|---|---|---|---|"]
    lines += [line(f"[{room}](#{room.lower().replace('.', '')})", found) for room, found in tables.items()]
    return "\n".join([*lines, line("all", [row for found in tables.values() for row in found])])


def _families(listing: Listing) -> str:
    families: dict[str, list[str]] = {}
    for names in listing.values():
        for family, left_out in names.items():
            if family != "listed":
                families.setdefault(family, []).extend(left_out)
    return "\n".join(f"- {family} ({len(families[family])})" for family in sorted(families))


def _rooms(tables: dict[str, list[Row]]) -> Iterator[str]:
    for room, found in tables.items():
        yield f"## {room}"
        for state in STATES:
            if plain := [f"`{name}`" for name, s, how in found if s == state and not how]:
                yield f"**{state.capitalize()}:** {', '.join(plain)}."
        if told := [f"| `{name}` | {state} | {how} |" for name, state, how in found if how]:
            yield "\n".join(["| name | | how |", "|---|---|---|", *told])


def main(arguments: list[str]) -> int:
    return write(ROOT / "docs", {"pytorch-names.md": page()}, check="--check" in arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

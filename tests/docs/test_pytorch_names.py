"""Beside the PyTorch that is installed: the names are complete, and what both have takes the same arguments."""

from __future__ import annotations

import importlib
import inspect
import json
import types
from typing import Any

import pytest

import minipar
from tests.docs.test_generated_pages import NAMES

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")

LISTING = json.loads(NAMES.NAMES.read_text())
DIFFERING = NAMES.differences(NAMES.DIFFERENCES.read_text())
EVERYWHERE_ABSENT = {"out", "layout", "pin_memory", "memory_format", "self", "out_dtype"}
SECTIONS = "documented as indices_or_sections, one argument for both; the C++ parser knows them apart"
SERVES_BOTH = "one function here; in PyTorch that of `torch` is a plainer one than nn.functional's"
INTENDED = {
    **dict.fromkeys(["dsplit", "hsplit", "vsplit", "tensor_split"], SECTIONS),
    **dict.fromkeys(["Tensor.dsplit", "Tensor.hsplit", "Tensor.vsplit", "Tensor.tensor_split"], SECTIONS),
    **dict.fromkeys(["celu", "rrelu", "selu", "threshold", "max_pool1d", "adaptive_max_pool1d"], SERVES_BOTH),
    **dict.fromkeys(["nonzero", "Tensor.nonzero"], "as_tuple is an overload outside of the C++ schemas"),
    "Tensor.new_full": "Python's parser takes requires_grad, as for its sisters",
    "tensor": "the schemas are TorchScript's",
    "sort": "`reverse` is of TorchScript's lists",
    "Tensor.sort": "`reverse` is of TorchScript's lists",
    "normal": "`size` is an overload outside of the schemas, for numbers",
    "isin": "`elements` and `test_elements` take numbers too; PyTorch has a name for each",
    "Tensor.copy_": "the schema's `src` is called `other` by the parser",
    "linalg.vector_norm": "the parser takes `x`, the documented name, as well",
    "nn.functional.elu_": "`scale` and `input_scale` are how C++ makes selu of it",
    "rrelu_": "`generator` is C++'s, undocumented",
    "nn.functional.rrelu_": "`generator` is C++'s, undocumented",
    "Tensor.cuda": "Python's method has no schema of its own",
}
FAMILIES = {"torch.linalg": "linalg_", "torch.special": "special_"}


@pytest.mark.parametrize("room", LISTING)
def test_every_documented_name_is_listed_or_left_out_by_family(room):
    known = {name for names in LISTING[room].values() for name in names}
    assert set(NAMES.documented(room)) <= known
    assert known <= set(dir(NAMES._place(room)))


# ── arguments ─────────────────────────────────────────────────────────────────────────────────────────────────────────

Arguments = tuple[list[str], set[str]]  # by position, by keyword only


def _of_python(function: Any) -> Arguments | None:
    """None where a wrapper hides them: f(*args, **kwargs)."""
    found = inspect.signature(function.__init__ if isinstance(function, type) else function).parameters.values()
    if any(p.kind is p.VAR_POSITIONAL for p in found):
        return None
    by_position = [p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return _known(by_position), set(_known([p.name for p in found if p.kind is p.KEYWORD_ONLY]))


def _known(names: list[str]) -> list[str]:
    return [name for name in names if name not in EVERYWHERE_ABSENT]


def _of_pytorch(room: str, name: str) -> list[Arguments]:
    """Every overload that PyTorch declares; a schema's `self` is called `input` by functions."""
    thing = getattr(NAMES._place(room), name)
    if isinstance(thing, (type, types.FunctionType)):
        found = _of_python(thing)
        return [] if found is None else [found]
    overloads, schemas = [], torch._C._jit_get_schemas_for_operator(f"aten::{FAMILIES.get(room, '')}{name}")
    of_tensors = any("Tensor" in str(a.type) for schema in schemas for a in schema.arguments)
    for schema in schemas:
        signature = " ".join(str(a.type) for a in schema.arguments)
        if any(a.is_out for a in schema.arguments) or "Dimname" in signature:
            continue
        of_scripts = {"a", "b"} & {a.name for a in schema.arguments}
        if of_scripts or (of_tensors and "Tensor" not in signature) or signature.split(" ")[0] in ("t", "t[]"):
            continue  # numbers and lists in TorchScript
        own = "self" if room == "torch.Tensor" else "input"
        names = [own if a.name == "self" else a.name for a in schema.arguments]
        keyword = {n for n, a in zip(names, schema.arguments) if a.kwarg_only}
        overloads.append((_known([n for n in names if n not in keyword]), set(_known(list(keyword)))))
    return overloads


def _of_minipar(room: str, name: str) -> Any:
    place: Any = minipar
    for part in room.split(".")[1:]:
        place = getattr(place, part, None) or importlib.import_module(f"{place.__name__}.{part}")
    return getattr(place, name)


def _cases() -> list[tuple[str, str]]:
    cases = []
    for room, by in LISTING.items():
        for name in by["listed"]:
            theirs = getattr(NAMES._place(room), name)
            if NAMES.has(room, name) and callable(theirs) and callable(_of_minipar(room, name)):
                cases.append((room, name))
    return cases


def disagreement(room: str, name: str) -> str | None:
    """What is wrong with the arguments of `name`; None if nothing is, or if nobody can say."""
    function = _of_minipar(room, name)
    ours, overloads = _of_python(function), _of_pytorch(room, name)
    if ours is None or not overloads:
        return None
    by_position, by_keyword = ours
    if room == "torch.Tensor" and not isinstance(inspect.getattr_static(minipar.Tensor, name), staticmethod):
        by_position = by_position[1:] if by_position[:1] == ["input"] else by_position
    if name.endswith("_") and "inplace" in by_position:  # the form in place passes it itself
        by_position = [n for n in by_position if n != "inplace"]
    rest = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values())
    theirs = {n for positional, keyword in overloads for n in (*positional, *keyword)}
    complaints = []
    if not any(by_position[: len(p)] == p[: len(by_position)] and not by_keyword & set(p) for p, _ in overloads):
        complaints.append(f"order ({', '.join(by_position)}), PyTorch {[', '.join(p) for p, _ in overloads]}")
    if more := sorted({*by_position, *by_keyword} - theirs):
        complaints.append(f"takes more: {more}")
    if getattr(function, "__module__", "").startswith("minipar.creation"):
        theirs -= {"device", "requires_grad"}  # factory.py takes these for all of them; tests/ops looks that they work
    if not rest and (less := sorted(theirs - {*by_position, *by_keyword})):
        complaints.append(f"lacks: {less}")
    return "; ".join(complaints) or None


@pytest.mark.parametrize("room", LISTING)
def test_arguments_are_pytorchs(room):
    wrong = {}
    for place, name in _cases():
        qualified = f"{place}.{name}".removeprefix("torch.")
        if place == room and qualified not in {**DIFFERING, **INTENDED} and (found := disagreement(place, name)):
            wrong[name] = found
    assert not wrong


def test_what_is_intended_still_disagrees():
    disagreeing = {f"{room}.{name}".removeprefix("torch.") for room, name in _cases() if disagreement(room, name)}
    assert set(INTENDED) <= disagreeing

"""The table of translations: from the class of an operation (or of a module) to a function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..graph import Graph
from ..recording import Recording

_TABLE: dict[type, Callable[..., Any]] = {}
_WHOLE: dict[type, Callable[[Any], bool]] = {}  # modules that may be translated as a whole, and when


def translates(*kinds: type, when: Callable[[Any], bool] | None = None) -> Callable[[Callable], Callable]:
    """Enter a function (graph, step, *names of inputs) → names of outputs; for modules, where `when` holds."""

    def enter(function: Callable) -> Callable:
        for kind in kinds:
            _TABLE[kind] = function
            if when is not None:
                _WHOLE[kind] = when
        return function

    return enter


def translated(what: Any) -> bool:
    """Is there a translation of this operation, or of this module as a whole?"""
    kind = type(what)
    return kind in _TABLE and (kind not in _WHOLE or _WHOLE[kind](what))


def translate(recording: Recording, graph: Graph) -> None:
    """Fill the graph with the steps. NotImplementedError for an operation without a translation.

    What is made of a value that has no name in ONNX (None) has none either: an error only where it is a result.
    """
    for step in recording.steps:
        if any(graph.names.get(wire, "") is None for wire in step.inputs if isinstance(wire, tuple)):
            graph.names |= dict.fromkeys(step.outputs)
            continue
        if type(step.what) not in _TABLE:
            name = step.what.name() if hasattr(step.what, "name") else type(step.what).__name__
            raise NotImplementedError(f"export: there is no translation of {name} to ONNX")
        made = _TABLE[type(step.what)](graph, step, *[graph.name_of(wire) for wire in step.inputs])
        graph.names |= zip(step.outputs, made if isinstance(made, (tuple, list)) else (made,))

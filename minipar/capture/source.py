"""Python source that is being written, and the objects that it names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

_PLAIN = (int, float, bool, type(None), str)


class Source:
    """Lines of a function, whose constants are the variables of the function around it: quick to reach."""

    def __init__(self) -> None:
        self.names: dict[int, str] = {}
        self.objects: list[Any] = []

    def name(self, x: Any) -> str:
        """How the source spells an object."""
        if type(x) in _PLAIN and x == x and x not in (float("inf"), float("-inf")):
            return repr(x)
        known = self.names.get(id(x))
        if known is None:
            known = self.names[id(x)] = f"c{len(self.objects)}"
            self.objects.append(x)
        return known

    def all_of(self, conditions: Sequence[str], before: Sequence[str] = ()) -> Callable[..., Any]:
        """A function that says whether all conditions are met; with lines `before`, one of (args, kwargs)."""
        return self.function("args, kwargs" * bool(before), [*before, f"return {' and '.join(conditions) or True}"])

    def function(self, arguments: str, lines: list[str]) -> Callable[..., Any]:
        body = "".join(f"        {line}\n" for line in lines) or "        pass\n"
        names = ", ".join(f"c{i}" for i in range(len(self.objects)))
        text = f"def make({names}):\n    def run({arguments}):\n{body}    return run\n"
        scope: dict[str, Any] = {}
        exec(compile(text, "<minipar.compile>", "exec"), scope)
        return scope["make"](*self.objects)

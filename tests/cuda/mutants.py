"""Kernels broken on purpose, by rule or by hand. What a mutant changes is said in text, which names it in a test.

``mutants(module, factory)`` edits the kernel that a factory makes, and the device functions beside it, in every way
that people do: a barrier is dropped, a condition is always true or off by one, two indices are swapped, ``+=`` is
``=``, a loop goes once too often. ``by_hand`` makes mutants of a table of edits, ``barriers`` one of each barrier.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

# What stands for a condition that a kernel asks: "<" is bounds to be checked, "==" a choice.
OFF_BY_ONE = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}


class Mutant(NamedTuple):
    """One edit of a kernel file: of what ``kind``, the text that goes (with its place), and what takes its place."""

    kind: str
    line: int
    old: str
    new: str
    source: str


def mutants(module: ModuleType, factory: str) -> Iterator[Mutant]:
    """Every mutant of the kernel, and of the device functions, that the function ``factory`` of this module defines."""
    text = Path(module.__file__).read_text()
    for function in ast.walk(maker(module, factory)):
        if isinstance(function, ast.FunctionDef) and function.returns is None:  # the host's say what they return
            for node in ast.walk(function):
                for kind, old, new in edits(node):
                    yield _edited(text, kind, old, new)


def maker(module: ModuleType, factory: str) -> ast.FunctionDef:
    body = ast.parse(Path(module.__file__).read_text()).body
    return next(node for node in body if isinstance(node, ast.FunctionDef) and node.name == factory)


def edits(node: ast.AST) -> Iterator[tuple[str, ast.AST, str]]:
    """(kind, the part that is replaced, by what text) for one node of a kernel."""
    match node:
        case ast.Expr(ast.Call(ast.Attribute(attr="syncthreads" | "syncwarp"))):
            yield "no barrier", node, "pass"
        case ast.If() | ast.IfExp():
            for compare in ast.walk(node.test):
                if isinstance(compare, ast.Compare):
                    yield from _conditions(compare)
        case ast.While(test=ast.Compare() as compare):
            yield from _conditions(compare, drop=False)
        case ast.Subscript(slice=ast.Tuple(elts=[first, second, *rest])):
            swapped = ", ".join(ast.unparse(index) for index in (second, first, *rest))
            yield "swapped", node, f"{ast.unparse(node.value)}[{swapped}]"
        case ast.BinOp(ast.BinOp(a, ast.Mult(), b), ast.Add(), c):
            yield "swapped", node, f"({ast.unparse(c)}) * {ast.unparse(b)} + {ast.unparse(a)}"
        case ast.AugAssign(op=ast.Add()):
            yield "no sum", node, f"{ast.unparse(node.target)} = {ast.unparse(node.value)}"
        case ast.For(iter=ast.Call(ast.Name("range"), [bound])):
            yield "once more", bound, f"{ast.unparse(bound)} + 1"


def _conditions(compare: ast.Compare, drop: bool = True) -> Iterator[tuple[str, ast.AST, str]]:
    """Each link of ``0 <= h < H`` left out, and each off by one."""
    terms = [ast.unparse(term) for term in (compare.left, *compare.comparators)]
    signs = [SIGNS[type(operator)] for operator in compare.ops]
    for i, sign in enumerate(signs):
        links = [f"{terms[k]} {signs[k]} {terms[k + 1]}" for k in range(len(signs))]
        if drop:
            yield "no check", compare, " and ".join(links[:i] + links[i + 1 :]) or "True"
        if sign in OFF_BY_ONE:
            links[i] = f"{terms[i]} {OFF_BY_ONE[sign]} {terms[i + 1]}"
            yield "off by one", compare, " and ".join(links)


SIGNS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}


def _edited(text: str, kind: str, old: ast.AST, new: str) -> Mutant:
    lines = text.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))
    first = starts[old.lineno - 1] + old.col_offset
    last = starts[old.end_lineno - 1] + old.end_col_offset
    new = new if isinstance(old, ast.stmt) else f"({new})"
    return Mutant(kind, old.lineno, text[first:last], new, text[:first] + new + text[last:])


def by_hand(module: ModuleType, edits: list[tuple[str, str]], kernel: str = "", kind: str = "edited") -> list[Mutant]:
    """A mutant for each (what stands in the source, what takes its place); the first place within ``kernel`` counts."""
    text = Path(module.__file__).read_text()
    begin, end = _within(text, kernel)
    made = []
    for old, new in edits:
        at = text.find(old, begin, end)
        assert at >= 0, f"{module.__name__} has no {old!r} in {kernel or 'it'}"
        made.append(Mutant(kind, text.count("\n", 0, at) + 1, old, new, text[:at] + new + text[at + len(old) :]))
    return made


def barriers(module: ModuleType, kernel: str = "") -> list[Mutant]:
    """One without each barrier of the file, or of one kernel in it."""
    text = Path(module.__file__).read_text()
    made = []
    for found in re.compile(r"cuda\.syncthreads\(\)").finditer(text, *_within(text, kernel)):
        line = text.count("\n", 0, found.start()) + 1
        mutant = text[: found.start()] + "pass" + text[found.end() :]
        made.append(Mutant("no barrier", line, f"barrier in line {line}", "pass", mutant))
    return made


def _within(text: str, kernel: str) -> tuple[int, int]:
    """Where a kernel of this name begins, and the function that makes it ends."""
    if not kernel:
        return 0, len(text)
    begin = text.index(f"    def {kernel}(")
    return begin, text.index("    return Kernel(", begin)

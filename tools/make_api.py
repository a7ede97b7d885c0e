"""Writes docs/api/: a page a room, from the public names and their docstrings.

python tools/make_api.py            # write the pages
python tools/make_api.py --check    # exit 1 if a page is not what the docstrings say now
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "api"
sys.path.insert(0, str(ROOT))  # the checkout's minipar, installed or not

ROOMS = {
    "minipar": "Functions",
    "minipar.Tensor": "Tensor",
    "minipar.nn": "Layers and losses",
    "minipar.nn.functional": "Layers' operations as functions",
    "minipar.nn.init": "Initial values",
    "minipar.nn.utils": "Gradients' norms, parameters as vectors",
    "minipar.nn.utils.rnn": "Sequences of unequal length",
    "minipar.optim": "Optimizers",
    "minipar.optim.lr_scheduler": "Learning-rate schedules",
    "minipar.autograd": "Gradients",
    "minipar.autograd.functional": "Jacobians, Hessians, products with them",
    "minipar.linalg": "Linear algebra",
    "minipar.special": "Special functions",
    "minipar.random": "Random state",
    "minipar.data": "Datasets, loaders, data that ships",
    "minipar.utils.checkpoint": "Recomputation",
    "minipar.onnx": "Models as ONNX files",
    "minipar.parallel": "Many workers",
    "minipar.parallel.timeline": "What each worker did, and when",
    "minipar.viz": "Pictures",
    "minipar.cuda": "GPUs",
}
MANY = 40
OPENING = "<!-- Made by tools/make_api.py from the docstrings: change those, and run it again. -->"
ABOUT = [
    "",
    "# The API",
    "",
    "Every public name, with its formula, shapes, errors and an example that CI runs.",
    "What PyTorch calls public and is absent here: [PyTorch's names](../pytorch-names.md).",
    "",
]


def room(name: str) -> Any:
    """The module or class that `name` stands for."""
    if name == "minipar.Tensor":
        return importlib.import_module("minipar").Tensor
    return importlib.import_module(name)


def public_names(place: Any) -> list[str]:
    """What a user may call there: of a module, from `__all__`; of a class, whatever has a docstring."""
    if inspect.isclass(place):
        return sorted(n for n in dir(place) if not n.startswith("_") and describe(place, n) and _is_offered(place, n))
    return sorted((n for n in place.__all__ if callable(getattr(place, n))), key=lambda n: (n.lower(), n))


def _is_offered(place: type, name: str) -> bool:
    """The tape's own slots and methods are Value's, a floor below."""
    owner = next(c for c in place.__mro__ if name in vars(c))
    return owner.__module__ != "minipar.tape" or name in ("grad", "data", "backward")


def found(place: Any, name: str) -> Any:
    """The thing itself: of a class, the property and not its value."""
    return inspect.getattr_static(place, name) if inspect.isclass(place) else getattr(place, name)


def describe(place: Any, name: str) -> str:
    return inspect.cleandoc(found(place, name).__doc__ or "")


def summary(text: str) -> str:
    """The first sentence, on one line."""
    return " ".join(text.split("\n\n")[0].split())


def signature(name: str, thing: Any, method: bool = False) -> str:
    """`name(a, b=1, *, c)`: PyTorch's documentation writes no types, nor does this."""
    if isinstance(thing, property) or not callable(thing):
        return name
    try:
        parameters = list(inspect.signature(thing).parameters.values())
    except (TypeError, ValueError):
        return f"{name}(…)"
    if method and parameters and parameters[0].kind is not inspect.Parameter.VAR_POSITIONAL:
        parameters = parameters[1:]
    bare = inspect.Signature([p.replace(annotation=inspect.Parameter.empty) for p in parameters])
    return name + re.sub(r"<[^<>]* at 0x[0-9a-f]+>|<[^<>]+>", "…", str(bare))


def markdown(text: str) -> Iterator[str]:
    """A docstring's blocks: examples and indented formulas as code, the rest as prose."""
    for block in text.split("\n\n"):
        lines = block.strip("\n").splitlines()
        if not lines:
            continue
        if lines[0].lstrip().startswith(">>>"):
            yield "```pycon\n" + inspect.cleandoc("\n" + "\n".join(lines)) + "\n```"
        elif lines[0].startswith("    "):
            yield "```text\n" + inspect.cleandoc("\n" + "\n".join(lines)) + "\n```"
        else:
            yield _prose("\n".join(lines))


def _prose(text: str) -> str:
    """Signs that GitHub would take for itself, escaped outside of code."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(p if p.startswith("`") else _escaped(p) for p in pieces)


def _escaped(text: str) -> str:
    return re.sub(r"[*<|]|(?<!\w)_|_(?!\w)", r"\\\g<0>", text)


def _own_methods(thing: type) -> dict[str, Any]:
    """A class's methods, with those of bases that no page tells of (Module's State, what layers have in common)."""
    told = [c for c in thing.__mro__[1:] if _is_public(c)]
    bases = [
        c for c in thing.__mro__ if c.__module__.startswith("minipar.") and not any(issubclass(b, c) for b in told)
    ]
    return {name: function for c in reversed(bases) for name, function in vars(c).items()}


def _is_public(thing: type) -> bool:
    return any(getattr(room(name), thing.__name__, None) is thing for name in ROOMS)


class Anchors:
    """GitHub's anchors of one page: lower case, and a number on the second of a name."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}

    def of(self, heading: str) -> str:
        slug = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        count = self.seen[slug] = self.seen.get(slug, -1) + 1
        return f"{slug}-{count}" if count else slug


def source(thing: Any) -> str:
    """The file that says what `thing` does."""
    thing = thing.fget if isinstance(thing, property) else thing
    module = getattr(inspect.unwrap(thing) if callable(thing) else thing, "__module__", None) or ""
    if not module.startswith("minipar"):
        return ""
    path = Path(module.replace(".", "/"))
    file = path.with_suffix(".py") if (ROOT / path.with_suffix(".py")).exists() else path / "__init__.py"
    return file.as_posix() if (ROOT / file).exists() else ""


def families(place: Any, names: list[str]) -> dict[str, list[str]]:
    """Heading → names. One file is one family; a room of few names needs no headings."""
    if len(names) < MANY:
        return {"Contents": names}
    files: dict[str, list[str]] = {}
    for n in names:
        files.setdefault(source(found(place, n)), []).append(n)
    return {_heading(file): files[file] for file in sorted(files, key=lambda file: (not file, file))}


def _heading(file: str) -> str:
    if not file:
        return "Others"
    module = importlib.import_module(file.removesuffix(".py").removesuffix("/__init__").replace("/", "."))
    return re.split(r"[:.;(](?:\s|$)", summary(inspect.cleandoc(module.__doc__ or file)))[0].rstrip(".")


def page(name: str) -> str:
    """The page of room `name`: one-line summaries by family, then every name."""
    place = room(name)
    names = [n for n in public_names(place) if describe(place, n)]
    groups = families(place, names)
    anchors, firsts = Anchors(), dict[int, str]()
    for heading in (name, *groups):
        anchors.of(heading)
    anchor = {n: anchors.of(n) for n in names}
    parts = [OPENING, f"# {name}", *markdown(inspect.cleandoc(place.__doc__ or ""))]
    for heading, members in groups.items():
        parts += [f"## {heading}", "\n".join(f"- [`{n}`](#{anchor[n]}): {_first(place, n)}" for n in members)]
    parts.append("---")
    for n in names:
        first = firsts.setdefault(id(found(place, n)), n)
        parts += _entry(place, n) if first == n else [f"### {n}", f"Another name of [`{first}`](#{anchor[first]})."]
    return "\n\n".join(parts) + "\n"


def _first(place: Any, n: str) -> str:
    return _prose(summary(describe(place, n)))


def _entry(place: Any, n: str) -> Iterator[str]:
    thing = found(place, n)
    yield f"### {n}"
    yield f"```python\n{signature(n, thing, method=inspect.isclass(place))}\n```"
    if inspect.isclass(place) and getattr(importlib.import_module("minipar"), n, None) is thing:
        yield f"{_first(place, n)} As [`minipar.{n}`](minipar.md#{n}), with this tensor as `input`."
        return
    yield from markdown(describe(place, n))
    if inspect.isclass(thing):
        for method, function in _own_methods(thing).items():
            if not method.startswith("_") and inspect.isfunction(function) and function.__doc__:
                yield f"**`{signature(method, function, method=True)}`**: {_first(thing, method)}"
    if file := source(thing):
        yield f"<sub>[{file}](../../{file})</sub>"


def contents(pages: dict[str, str]) -> str:
    lines = [f"- [{name}]({name}.md): {title}" for name, title in ROOMS.items() if f"{name}.md" in pages]
    return "\n".join([OPENING, *ABOUT, *lines, ""])


def made() -> dict[str, str]:
    """File name → text of every page."""
    pages = {f"{name}.md": page(name) for name in ROOMS}
    return {"README.md": contents(pages), **pages}


def main(arguments: list[str]) -> int:
    return write(FOLDER, made(), check="--check" in arguments)


def write(folder: Path, files: dict[str, str], check: bool) -> int:
    """Write what differs; with `check` only say so. 1 if something is stale."""
    stale = [n for n, text in files.items() if not (folder / n).exists() or (folder / n).read_text() != text]
    for name in stale:
        print(f"{'stale' if check else 'wrote'}: {(folder / name).relative_to(ROOT)}")
        if not check:
            folder.mkdir(exist_ok=True, parents=True)
            (folder / name).write_text(files[name])
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

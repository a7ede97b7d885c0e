"""Writes docs/api/: a page a room, from the public names and their docstrings.

python tools/make_api.py            # write the pages
python tools/make_api.py --check    # exit 1 if a page is not what the docstrings say now
"""

from __future__ import annotations

import functools
import importlib
import inspect
import re
import sys
import textwrap
import types
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

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
    "minipar.parallel.pipeline": "Pipelines: schedules and cuts",
    "minipar.parallel.timeline": "What each worker did, and when",
    "minipar.viz": "Pictures",
    "minipar.cuda": "GPUs",
    "minipar.kernels.simulate": "CUDA kernels without a GPU",
}
MANY = 40
METHODS = (types.FunctionType, classmethod, staticmethod, property, functools.cached_property)
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
    """`name(a, b=1, *, c)`: PyTorch's documentation writes no types, nor does this. "" if nobody can say."""
    if isinstance(thing, (property, functools.cached_property)):
        return ""
    bound = isinstance(thing, (classmethod, staticmethod))
    try:
        parameters = list(inspect.signature(thing.__func__ if bound else thing).parameters.values())
    except (TypeError, ValueError):
        return ""
    if method and parameters and parameters[0].kind is not parameters[0].VAR_POSITIONAL:
        parameters = parameters[not isinstance(thing, staticmethod) :]
    bare = inspect.Signature([p.replace(annotation=p.empty) for p in parameters])
    return name + re.sub(r"<[^<>]* at 0x[0-9a-f]+>|<[^<>]+>", "…", str(bare))


def markdown(text: str) -> Iterator[str]:
    """A docstring's blocks: examples and what is indented as code, the rest (lists and tables too) as prose."""
    for kind, blocks in groupby((b.strip("\n") for b in text.split("\n\n") if b.strip()), _kind):
        if kind == "":
            yield from map(_prose, blocks)
        elif kind == "pycon":
            yield from (_code(kind, block) for block in blocks)
        else:
            code = textwrap.dedent("\n\n".join(blocks))
            yield _code("python" if _is_python(code) else kind, code)


def _kind(block: str) -> str:
    return "pycon" if block.lstrip().startswith(">>>") else "text" if block.startswith("    ") else ""


def _code(language: str, text: str) -> str:
    return f"```{language}\n{textwrap.dedent(text)}\n```"


def _is_python(text: str) -> bool:
    try:
        compile(text, "", "exec")
    except SyntaxError:
        return False
    return True


CODE_OR_SIGN = re.compile(
    r"``.+?``|`[^`]*`|\*[a-z]+\*|\*(?=\S)|(?<!\w)_(?=\S)|<(?=[A-Za-z/!?])|\[(?=[^]]*\]\()", flags=re.DOTALL
)


def _prose(text: str) -> str:
    """The text, with what GitHub would take for the beginning of emphasis, a tag or a link escaped.

    Not in code, nor of *one* word, which is meant, nor an asterisk that has none to pair with.
    """
    signs = "<[_*" if text.count("*") > 1 else "<[_"
    return CODE_OR_SIGN.sub(lambda found: "\\" * (found[0] in signs) + found[0], text)


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
    if module.startswith("minipar.kernels."):  # which lies beside minipar/
        module = module.removeprefix("minipar.")
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


class Plan(NamedTuple):
    """What stands on a page: heading → names, and the anchor of each name."""

    families: dict[str, list[str]]
    anchor: dict[str, str]


@functools.cache
def plan(name: str) -> Plan:
    place = room(name)
    names = [n for n in public_names(place) if describe(place, n)]
    groups, anchors = families(place, names), Anchors()
    for heading in (name, *groups):
        anchors.of(heading)
    return Plan(groups, {n: anchors.of(n) for n in names})


def page(name: str) -> str:
    """The page of room `name`: one-line summaries by family, then every name."""
    place, firsts = room(name), dict[int, str]()
    groups, anchor = plan(name)
    parts = [OPENING, f"# {name}", *markdown(inspect.cleandoc(place.__doc__ or ""))]
    for heading, members in groups.items():
        parts += [f"## {heading}", "\n".join(f"- [`{n}`](#{anchor[n]}): {_first(place, n)}" for n in members)]
    parts.append("---")
    for n in anchor:
        first = firsts.setdefault(id(found(place, n)), n)
        parts += _entry(name, n) if first == n else [f"### {n}", f"Another name of [`{first}`](#{anchor[first]})."]
    return "\n\n".join(parts) + "\n"


def _first(place: Any, n: str) -> str:
    return _prose(summary(describe(place, n)))


def _entry(page: str, n: str) -> Iterator[str]:
    place = room(page)
    thing, method = found(place, n), inspect.isclass(place)
    yield f"### {n}"
    if f"{page}.{n}" in ROOMS:
        yield f"{_first(place, n)} It has [a page of its own]({page}.{n}.md)."
        return
    if code := signature(n, thing, method):
        yield _code("python", textwrap.fill(code, 100, subsequent_indent=" " * len(f"{n}("), break_long_words=False))
    if method and getattr(room("minipar"), n, None) is thing:
        link = f"minipar.md#{plan('minipar').anchor[n]}"
        yield f"{_first(place, n)} As [`minipar.{n}`]({link}), with this tensor as `input`."
        return
    yield from markdown(describe(place, n))
    if inspect.isclass(thing):
        yield from _methods(page, n, thing)
    if file := source(thing):
        yield f"<sub>[{file}](../../{file})</sub>"


def _methods(page: str, n: str, thing: type) -> Iterator[str]:
    """What the class says of its methods, and where those stand that it has from another class of these pages."""
    told = [(c, home) for c in thing.__mro__[1:] if (home := _home(c))]
    silent = []
    for name, method in _own_methods(thing, {c for c, _ in told}).items():
        call = signature(name, method, method=True) or name
        if text := inspect.cleandoc(method.__doc__ or ""):
            yield f"#### `{n}.{call}`"
            yield from markdown(text)
        elif not any(hasattr(c, name) for c, _ in told):
            silent.append(f"`{call}`")
    if silent:
        yield f"Also {', '.join(silent)}."
    if told:
        base, home = told[0]
        file = "" if home == page else f"{home}.md"
        yield f"And the methods of [`{base.__name__}`]({file}#{plan(home).anchor[base.__name__]})."


def _own_methods(thing: type, told: set[type]) -> dict[str, Any]:
    """A class's public methods, with those of bases that no page tells of (Module's State, what layers share)."""
    bases = [
        c for c in thing.__mro__ if c.__module__.startswith("minipar.") and not any(issubclass(b, c) for b in told)
    ]
    return {
        name: member
        for c in reversed(bases)
        for name, member in vars(c).items()
        if isinstance(member, METHODS) and not name.startswith("_") and _is_written_in(c, member)
    }


def _is_written_in(owner: type, member: Any) -> bool:
    """Not so of a function that is kept in a class, as pooling layers keep theirs."""
    function = getattr(member, "fget", None) or getattr(member, "__func__", None) or getattr(member, "func", member)
    return function.__qualname__.startswith(f"{owner.__name__}.")


def _home(thing: type) -> str:
    """The page that tells of a class; "" if none does."""
    n = thing.__name__
    return next((name for name in ROOMS if n in plan(name).anchor and getattr(room(name), n) is thing), "")


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

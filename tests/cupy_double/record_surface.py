"""Writes surface.json beside it: which names the installed CuPy has, and which arguments they take.

Needs CuPy but no GPU: `python tests/cupy_double/record_surface.py` in an environment with `cupy-cuda13x` and
`nvidia-nccl-cu13`.
"""

from __future__ import annotations

import inspect
import json
import re
from types import ModuleType
from typing import Any

import cupy
import cupyx.scipy.special
from cupy.cuda import nccl

HERE = __file__.rpartition("/")[0]
COMMON = {"eye": "(N, M=None, k=0, dtype=None, order=None)", "size": "(a, axis=None)", "min_scalar_type": "(a)"}


def parameters(function: Any, name: str) -> list[str] | None:
    """The parameters in order: `a` is required, `a=` is not, `*a` and `**a` take the rest; after `*` by keyword."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # Cython: the docstring's first line says it
        line = COMMON.get(name) or (function.__doc__ or "").split("\n")[0]
        found = re.search(r"\((.*)\)", line)
        if not found:
            return None
        words = [part.split(":")[0].strip() for part in found[1].split(",")]
        words = [word for word in words if word not in ("self", "")]
        return [re.sub(r"^(\w+ )+", "", word.split("=")[0]) + ("=" if "=" in word else "") for word in words]
    text, by_keyword = [], False
    for p in signature.parameters.values():
        if p.name == "self":
            continue
        if p.kind is p.KEYWORD_ONLY and not by_keyword:
            text.append("*")
        by_keyword |= p.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL)
        star = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        text.append(star + p.name + ("" if star or p.default is p.empty else "="))
    return text


def functions(module: ModuleType) -> dict[str, list[str]]:
    public = {name: getattr(module, name) for name in dir(module) if not name.startswith("_")}
    kinds = (cupy.ufunc, type, ModuleType)
    found = {n: parameters(f, n) for n, f in public.items() if callable(f) and not isinstance(f, kinds)}
    return {name: names for name, names in found.items() if names is not None}


def has_at(ufunc: Any) -> bool:
    try:
        ufunc.at(None, None, None)
    except NotImplementedError:
        return False
    except AttributeError:  # it went on to the array
        return True
    raise AssertionError(ufunc)


def classes(place: ModuleType, names: list[str]) -> dict[str, dict[str, list[str] | None]]:
    """Class → its public methods and their parameters, of `__init__` too; attributes have None."""
    found = {name: getattr(place, name) for name in names}
    return {
        name: {n: parameters(m, "") if callable(m := getattr(kind, n)) else None for n in dir(kind) if n[0] != "_"}
        | {"__init__": parameters(kind, name)}
        for name, kind in found.items()
    }


def record() -> dict[str, Any]:
    ufuncs = {n: u for n, u in vars(cupy).items() if isinstance(u, cupy.ufunc)}
    special = vars(cupyx.scipy.special)
    methods = {n: getattr(cupy.ndarray, n) for n in dir(cupy.ndarray) if not n.startswith("_")}
    return {
        "version": cupy.__version__,
        "functions": functions(cupy),
        "linalg": functions(cupy.linalg),
        "stride_tricks": {
            n: parameters(getattr(cupy.lib.stride_tricks, n), n) for n in ("as_strided", "sliding_window_view")
        },
        "ufuncs": {n: u.types for n, u in ufuncs.items()},
        "ufuncs with at": [n for n, u in ufuncs.items() if has_at(u)],
        "special": {n: u.types for n, u in special.items() if isinstance(u, cupy.ufunc)},
        "methods": {n: parameters(m, n) for n, m in methods.items() if callable(m)},
        "attributes": [n for n, m in methods.items() if not callable(m)],
        "operators": [n for n in dir(cupy.ndarray) if n.startswith("__") and n not in dir(object)],
        "cuda": functions(cupy.cuda),
        "cuda classes": classes(cupy.cuda, ["Device", "Event", "MemoryPointer", "MemoryPool", "Stream"])
        | classes(cupy.cuda.memory, ["PooledMemory"]),
        "cuda runtime": functions(cupy.cuda.runtime),
        "nccl": functions(nccl),
        "nccl classes": classes(nccl, ["NcclCommunicator"]),
        "nccl constants": {n: x for n, x in vars(nccl).items() if n.startswith("NCCL_")},
        "constants": [n for n, x in vars(cupy).items() if isinstance(x, (float, int)) and not n.startswith("_")],
        "types": [n for n, x in vars(cupy).items() if isinstance(x, type) and x.__module__ == "numpy"],
    }


if __name__ == "__main__":
    with open(f"{HERE}/surface.json", "w") as file:
        text = json.dumps(record(), indent=1, sort_keys=True)
        file.write(re.sub(r"\[\s+([^\[\]]*?)\s+\]", lambda m: f"[{re.sub(chr(10) + ' *', ' ', m[1])}]", text) + "\n")

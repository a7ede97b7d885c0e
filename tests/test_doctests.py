"""Every example in a docstring runs. In them stand `minipar`, `nn`, `F`, `optim` and `np` for what they always do."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
from typing import Any

import numpy as np
import pytest

import minipar
import minipar.kernels.simulate

NAMES = {
    "minipar": minipar,
    "nn": minipar.nn,
    "F": minipar.nn.functional,
    "optim": minipar.optim,
    "np": np,
}
PUBLIC_KERNELS = minipar.kernels.simulate  # a checkout's kernels/ lies beside minipar/, where no walk leads
MODULES = sorted(
    {
        found.name
        for package in (minipar, PUBLIC_KERNELS)
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        if not found.name.startswith(("minipar.__main__", "minipar.kernels.cuda", "minipar.bench.peers."))  # need peers
    }
)
NEEDS = {
    "minipar.einops": "einops",
    "minipar.onnx.export": "onnx",
}  # what the examples of a module need beyond minipar itself


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module(name: str) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name], reason=f"needs {NEEDS[name]}: pip install {NEEDS[name]}")
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    for example in finder.find(module, name, extraglobs=dict(NAMES)):
        minipar.manual_seed(0)
        runner.run(example)
    assert runner.failures == 0


# ── every public name has an example ──────────────────────────────────────────────────────────────────────────────────

ROOMS = [
    "minipar",
    "minipar.Tensor",
    "minipar.nn",
    "minipar.nn.functional",
    "minipar.nn.init",
    "minipar.nn.utils",
    "minipar.nn.utils.rnn",
    "minipar.optim",
    "minipar.optim.lr_scheduler",
    "minipar.autograd",
    "minipar.autograd.functional",
    "minipar.linalg",
    "minipar.special",
    "minipar.random",
    "minipar.data",
    "minipar.utils.checkpoint",
    "minipar.parallel",
    "minipar.parallel.pipeline",
    "minipar.parallel.timeline",
    "minipar.viz",
    "minipar.cuda",
    "minipar.onnx",
    "minipar.kernels.simulate",
]
OF_THE_TAPE = {"accumulate", "array", "bump", "changes", "edge", "index", "node", "own_version", "receive"}
OF_THE_TAPE |= {"share_version", "tracked", "version", "view_of"}  # what a Tensor is for the floors below


def public(room: str) -> dict[str, Any]:
    """Name → what it stands for; of a module what can be called, of Tensor properties too."""
    if room == "minipar.Tensor":
        names = {n for n in dir(minipar.Tensor) if not n.startswith("_")} - OF_THE_TAPE
        return {n: inspect.getattr_static(minipar.Tensor, n) for n in sorted(names)}
    module = importlib.import_module(room)
    return {n: getattr(module, n) for n in module.__all__ if callable(getattr(module, n))}


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_has_an_example(room: str) -> None:
    names = public(room)
    assert not [name for name, thing in names.items() if not thing.__doc__]
    shown = {name for name, thing in names.items() if ">>>" in thing.__doc__}
    in_place = {name for name in names if name.endswith("_") and name[:-1] in shown}
    deprecated = {name for name in names if room == "minipar.nn.init" and f"{name}_" in shown}
    errors = {name for name, x in names.items() if isinstance(x, type) and issubclass(x, BaseException)}
    assert sorted(set(names) - shown - in_place - deprecated - errors) == []

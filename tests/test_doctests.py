"""Every example in a docstring runs. In them stand `minipar`, `nn`, `F`, `optim` and `np` for what they always do."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import numpy as np
import pytest

import minipar

NAMES = {
    "minipar": minipar,
    "nn": minipar.nn,
    "F": minipar.nn.functional,
    "optim": minipar.optim,
    "np": np,
}
MODULES = sorted(
    found.name
    for found in pkgutil.walk_packages(minipar.__path__, "minipar.")
    if not found.name.startswith(("minipar.__main__", "minipar.kernels.cuda"))
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

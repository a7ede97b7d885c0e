"""A list, a number, None or a string where a tensor belongs: the error says which argument of which function."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import minipar
import minipar.nn.functional as F
from minipar import nn
from tests.ops.case import Case
from tests.ops.cases_recurrent import RECURRENT
from tests.ops.table import TABLE

ROOM = str(Path(minipar.__file__).parent)
NO_TENSORS = ([1.0, 2.0], None, 3.5, "a")
ASK_FOR_OTHERS = {"load", "save", "seed", "set_default_dtype", "set_rng_state"}


def functions() -> dict[str, Callable[..., Any]]:
    """The public functions of tensors, by room and name."""
    rooms = {
        "": minipar,
        "functional.": F,
        "linalg.": minipar.linalg,
        "special.": minipar.special,
        "init.": nn.init,
    }
    found = {room + name: getattr(module, name) for room, module in rooms.items() for name in dir(module)}
    return {
        name: function
        for name, function in found.items()
        if inspect.isfunction(function) and not name.rpartition(".")[2].startswith("_") and name not in ASK_FOR_OTHERS
    }


def required(function: Callable[..., Any]) -> int:
    """How many arguments have to be given, by place."""
    parameters = inspect.signature(function).parameters.values()
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.default is p.empty for p in parameters)


def refused(function: Callable[..., Any], *args: Any) -> None:
    """Call, and fail if minipar has asked something for an attribute that it has not, instead of refusing it."""
    try:
        function(*args)
    except AttributeError as error:
        called = [frame.name for frame in traceback.extract_tb(error.__traceback__) if ROOM in frame.filename]
        if called and called[0] != "__call__":  # an operation itself (`Op`) takes what its function has looked at
            raise
    except Exception:
        pass  # it is said elsewhere what these have to say (test_refusals.py)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", functions())
def test_a_function_is_not_asked_for_what_only_tensors_have(name: str) -> None:
    function = functions()[name]
    count = required(function)
    for wrong in NO_TENSORS if count else ():
        refused(function, *[wrong] * count)
        for at in range(count):
            refused(function, *[wrong if i == at else minipar.ones(2, 2) for i in range(count)])


METHODS = [name for name, method in inspect.getmembers(minipar.Tensor, inspect.isfunction) if name[0] != "_"]
OF_THE_TAPE = {"accumulate", "edge", "receive", "share_version"}  # called by operations, with what these have made


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", sorted({*METHODS} - OF_THE_TAPE))
def test_a_method_looks_at_its_arguments(name: str) -> None:
    count = required(getattr(minipar.Tensor, name)) - 1
    for wrong in NO_TENSORS if count else ():
        refused(getattr(minipar.ones(2, 2), name), *[wrong] * count)
        for at in range(count):
            refused(
                getattr(minipar.ones(2, 2), name), *[wrong if i == at else minipar.ones(2, 2) for i in range(count)]
            )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", [case for case in TABLE if case not in RECURRENT], ids=str)
def test_every_operand_is_looked_at(case: Case) -> None:
    right = [minipar.tensor(array) for array in case.inputs(case.example, 0)]
    for wrong in NO_TENSORS:
        for at in range(len(right)):
            refused(case.run, minipar, *[wrong if i == at else x for i, x in enumerate(right)])


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda x: F.relu([1.0]), "relu: input must be a tensor, not list"),
        (lambda x: F.relu(None), "relu: input must be a tensor, not None"),
        (lambda x: F.relu(nn.ReLU()), "relu: input must be a tensor, not ReLU"),
        (lambda x: F.cross_entropy(x, [0, 1]), "cross_entropy: target must be a tensor, not list"),
        (lambda x: F.mse_loss(x, 1.0), "mse_loss: target must be a tensor, not float"),
        (lambda x: F.conv2d(minipar.ones(1, 1, 2, 2), weight=[1.0]), "conv2d: weight must be a tensor, not list"),
        (lambda x: minipar.mean([1.0, 2.0]), "mean: input must be a tensor, not list"),
        (lambda x: minipar.exp("a"), "exp: input must be a tensor, not str"),
        (lambda x: minipar.ones_like(2), "ones_like: input must be a tensor, not int"),
        (lambda x: x.matmul([1.0, 2.0]), "matmul: other must be a tensor, not list"),
        (lambda x: nn.MSELoss()(x, [1.0]), "MSELoss: target must be a tensor, not list"),
        (lambda x: nn.Linear(2, 2)(3), "Linear: input must be a tensor, not int"),
        (lambda x: F.relu_([1.0]), "relu: input must be a tensor, not list"),
        (lambda x: minipar.linalg.det([1.0]), "det: A must be a tensor, not list"),
        (lambda x: minipar.gather(x, 0, 0), "gather: index must be a tensor, not int"),
        (lambda x: x.scatter_add(0, minipar.zeros(1, 1).long(), 0), "scatter_add: src must be a tensor, not int"),
        (lambda x: F.group_norm(x, 1, 1), "group_norm: weight must be a tensor, not int"),
        (lambda x: minipar.meshgrid(x[0], 2), "meshgrid: tensors[1] must be a tensor, not int"),
        (lambda x: minipar.linalg.multi_dot([x, "a"]), "multi_dot: tensors[1] must be a tensor, not str"),
    ],
)
def test_the_error_names_what_the_user_called(call: Callable[[Any], Any], said: str) -> None:
    with pytest.raises(TypeError) as caught:
        call(minipar.ones(2, 2))
    assert str(caught.value) == said + "; minipar.tensor(…) makes one of numbers"

"""Which kernel serves an operation: the tables against the kernels that exist, the choice, and what it costs to ask."""

import ast
import inspect
import threading
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

import minipar
from minipar.backend import dispatch

FLOAT = {name: np.ones(2, name) for name in ("float16", "float32", "float64")}
KERNELS = Path(import_module("minipar.kernels").__file__).parent


class OnGpu:
    """Stands for a CuPy array: what matters to the dispatcher is that it is no NumPy array, and its dtype."""

    def __init__(self, dtype):
        self.dtype = np.dtype(dtype)


@pytest.fixture
def without_numba(monkeypatch):
    missing = lambda name, *package: None if name == "numba" else object()  # noqa: E731
    monkeypatch.setattr(dispatch, "find_spec", missing)
    _forget()
    yield
    _forget()


def _forget():
    dispatch._has_numba.cache_clear()
    dispatch._loaded.clear()


def parameters(module: str, name: str) -> list[tuple[str, str | None]]:
    """Names and defaults of a kernel's parameters, read from its source, unless a decorator adds to them."""
    place = KERNELS.joinpath(*module.split("."))
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    (found,) = [
        node
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name == name
    ]
    if found.decorator_list:
        signature = inspect.signature(getattr(import_module(f"minipar.kernels.{module}"), name))
        return [(p.name, None if p.default is p.empty else repr(p.default)) for p in signature.parameters.values()]
    given = [*found.args.posonlyargs, *found.args.args]
    defaults = [None] * (len(given) - len(found.args.defaults)) + [ast.unparse(d) for d in found.args.defaults]
    assert not found.args.vararg
    assert not found.args.kwonlyargs
    return [(arg.arg, default) for arg, default in zip(given, defaults)]


# --- the tables ---


@pytest.mark.parametrize("table", ["REFERENCE", "COMPILED", "CUDA"])
def test_every_kernel_of_a_table_exists_with_the_reference_kernels_parameters(table):
    for name, module in getattr(dispatch, table).items():
        assert name in dispatch.REFERENCE, f"{name} has no reference form"
        assert parameters(module, name) == parameters(dispatch.REFERENCE[name], name), f"{module}.{name}"


def test_kernels_that_need_no_gpu_can_be_called():
    for table in (dispatch.REFERENCE, dispatch.COMPILED):
        for name, module in table.items():
            assert callable(getattr(import_module(f"minipar.kernels.{module}"), name))


def test_every_kernel_that_an_operation_asks_for_has_a_reference_form():
    asked = set()
    for path in Path(minipar.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "kernel" and node.args:
                pieces = [node.args[0]]
                while pieces:  # a condition may choose between two names; an f-string is looked at below
                    piece = pieces.pop()
                    if isinstance(piece, ast.Constant) and isinstance(piece.value, str):
                        asked.add(piece.value)
                    elif not isinstance(piece, ast.JoinedStr):
                        pieces += ast.iter_child_nodes(piece)
    asked |= {f"conv{n}d_{part}" for n in (2, 3) for part in ("forward", "grad_input", "grad_weight")}  # ops/conv.py
    asked |= {f"{cell}_sequence{part}" for cell in ("rnn", "lstm", "gru") for part in ("", "_backward")}  # recurrent.py
    assert {"matmul", "adam_step"} <= asked
    assert asked <= set(dispatch.REFERENCE)


# --- who serves ---


@pytest.mark.parametrize("choice", dispatch.CHOICES)
@pytest.mark.parametrize("name", sorted(dispatch.REFERENCE))
def test_numpy_arrays_are_served_by_compiled_kernels_where_there_are_some(choice, name):
    pytest.importorskip("numba", reason="pip install numba")
    with minipar.use_kernels(choice):
        for dtype, array in FLOAT.items():
            compiled = choice != "reference" and dtype != "float16" and name in dispatch.COMPILED
            if choice == "library":  # NumPy's own products
                compiled = compiled and name not in ("matmul", "linear_forward", "linear_backward")
            table = dispatch.COMPILED if compiled else dispatch.REFERENCE
            assert dispatch.serving(name, array) == table[name], dtype
            found = dispatch.kernel(name, array)
            assert (found.__module__, found.__name__) == (f"minipar.kernels.{table[name]}", name)


@pytest.mark.usefixtures("without_numba")
@pytest.mark.parametrize("choice", dispatch.CHOICES)
def test_without_numba_the_reference_serves(choice):
    with minipar.use_kernels(choice):
        for name in dispatch.REFERENCE:
            for array in FLOAT.values():
                assert dispatch.serving(name, array) == dispatch.REFERENCE[name]
                assert dispatch.kernel(name, array).__module__ == f"minipar.kernels.{dispatch.REFERENCE[name]}"


@pytest.mark.parametrize(("choice", "dtype", "hand_written"), [
    ("auto", "float32", dispatch.CUDA), ("auto", "float64", dispatch.CUDA),
    ("auto", "float16", dispatch.ON_TENSOR_CORES),
    ("reference", "float32", ()), ("reference", "float16", ()), ("library", "float32", ()), ("library", "float16", ()),
])  # fmt: skip
def test_gpu_arrays_are_served_by_hand_written_kernels_under_auto(choice, dtype, hand_written):
    with minipar.use_kernels(choice):
        for name in dispatch.REFERENCE:
            table = dispatch.CUDA if name in hand_written else dispatch.REFERENCE
            assert dispatch.serving(name, OnGpu(dtype)) == table[name]


def test_arrays_of_numpys_subclasses_and_scalars_are_no_gpu_arrays(tmp_path):
    mapped = np.memmap(tmp_path / "mapped", dtype=np.float32, mode="w+", shape=(2,))
    for array in (mapped, np.ma.masked_array([1.0]), np.float32(1)):
        assert dispatch.serving("matmul", array) == dispatch.COMPILED["matmul"]


def test_an_unknown_name_is_an_error():
    for ask in (dispatch.serving, dispatch.kernel):
        with pytest.raises(KeyError, match="no_such_kernel"):
            ask("no_such_kernel", FLOAT["float32"])


# --- use_kernels ---


def test_choices_nest_and_are_restored_after_an_exception():
    assert dispatch.kernels_in_use() == "auto"
    with minipar.use_kernels("reference"):
        with minipar.use_kernels("library"):
            assert dispatch.kernels_in_use() == "library"
        with pytest.raises(KeyError), minipar.use_kernels("auto"):
            raise KeyError
        assert dispatch.kernels_in_use() == "reference"
    assert dispatch.kernels_in_use() == "auto"


def test_one_choice_may_be_entered_inside_itself():
    choice = minipar.use_kernels("reference")
    with choice, choice:
        pass
    assert dispatch.kernels_in_use() == "auto"


def test_a_choice_is_the_threads_own():
    seen = []
    with minipar.use_kernels("reference"):
        thread = threading.Thread(target=lambda: seen.append(dispatch.kernels_in_use()))
        thread.start()
        thread.join()
    assert seen == ["auto"]


@pytest.mark.parametrize("name", ["Reference", "", None, "cuda", 3, ["auto"]])
def test_a_choice_that_does_not_exist_is_an_error(name):
    with pytest.raises(ValueError, match="use_kernels takes one of 'auto', 'reference', 'library', not") as error:
        minipar.use_kernels(name)
    assert repr(name) in str(error.value)


def test_operations_use_the_chosen_kernel(monkeypatch):
    served = []
    monkeypatch.setattr(dispatch, "_loaded", {})
    found = dispatch.serving
    asked = lambda name, x: served.append((name, dispatch.kernels_in_use())) or found(name, x)  # noqa: E731
    monkeypatch.setattr(dispatch, "serving", asked)
    x = minipar.ones(2, 2)
    with minipar.use_kernels("reference"):
        x @ x
    x @ x
    assert served == [("matmul", "reference"), ("matmul", "auto")]


def test_the_table_in_the_docstring_names_every_choice():
    documentation = inspect.getdoc(dispatch) or ""
    assert all(f'"{choice}"' in documentation for choice in dispatch.CHOICES)

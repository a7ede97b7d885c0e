"""From a model to an ONNX file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np

from ..autograd import no_grad
from ..backend import dtypes, to_numpy
from ..nn.module import Module
from ..tensor import Tensor, wrap
from .graph import Graph
from .merge import merge
from .recording import Recording
from .translations import translate, translated

DEFAULT_OPSET = 18
OLDEST_OPSET = 13
UNSUPPORTED = {  # what else torch.onnx.export takes
    "artifacts_dir",
    "autograd_inlining",
    "custom_opsets",
    "custom_translation_table",
    "dump_exported_program",
    "dynamic_shapes",
    "dynamo",
    "export_modules_as_functions",
    "external_data",
    "keep_initializers_as_inputs",
    "operator_export_type",
    "optimize",
    "profile",
    "report",
    "training",
    "verbose",
    "verify",
}

Axes = dict[str, dict[int, str]]  # of an input or output: which axes are free, and the names of their sizes


def export(
    model: Module,
    args: Any = (),
    f: Any = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset_version: int | None = None,
    dynamic_axes: Mapping[str, Mapping[int, str] | Sequence[int]] | None = None,
    export_params: bool = True,
    do_constant_folding: bool = True,
    **unsupported: Any,
) -> Any:
    """Write `model` as an ONNX graph to the file `f` (a path, or a binary file object), and return the ModelProto.

    The model is run on `args` (one tensor, or a tuple) and `kwargs` in eval mode, twice, and the operations of the run
    are written down. What does not depend on the inputs becomes a constant; parameters and buffers keep the names that
    they have in `state_dict`. Tensors in nested tuples and dicts, of arguments and of results, are inputs and outputs
    of their own, in order. `dynamic_axes` {name: {axis: name of its size}} or {name: [axes]} leaves sizes free: those
    that the second run, on larger inputs, shows to be.

    `opset_version` is 18 by default, and at least 13. ImportError without the package onnx, NotImplementedError for an
    operation that has no translation, for one whose effect on these inputs cannot be said with free sizes, and for
    torch.onnx.export's other arguments.

    >>> model = minipar.onnx.export(nn.Linear(3, 2), minipar.zeros(4, 3))
    >>> [node.op_type for node in model.graph.node], [weight.name for weight in model.graph.initializer]
    (['Gemm'], ['weight', 'bias'])
    """
    _check(model, export_params, do_constant_folding, unsupported)
    onnx = _onnx()
    opset = _checked_opset(opset_version, onnx)
    arguments = (args if isinstance(args, tuple) else (args,), dict(kwargs or {}))
    inputs = [leaf for leaf in _leaves(arguments) if isinstance(leaf, Tensor)]
    names = _names(input_names, "input", len(inputs))
    axes = _axes(dynamic_axes, names)
    training = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        runs = [_run(model, arguments, inputs, names, axes, opset, output_names, other) for other in (False, True)]
    finally:
        for module, mode in training:
            module.training = mode
    (graph, *shapes), (other, *other_shapes) = runs
    _check_axes(dynamic_axes, [names, [name for name, *_ in shapes[1]]])
    merge(graph, other)
    proto = _proto(
        onnx, graph, type(model).__name__, opset, list(zip(shapes, other_shapes)), axes | _axes(dynamic_axes)
    )
    onnx.checker.check_model(proto)
    if f is not None:
        onnx.save(proto, os.fspath(f) if isinstance(f, (str, os.PathLike)) else f)
    return proto


def _onnx() -> Any:
    try:
        import onnx
    except ImportError:
        raise ImportError("minipar.onnx.export needs the package onnx: pip install onnx") from None
    return onnx


# ── arguments ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _check(model: Any, export_params: bool, do_constant_folding: bool, unsupported: dict[str, Any]) -> None:
    if not isinstance(model, Module):
        raise TypeError(f"export: model must be an nn.Module, not {type(model).__name__}")
    for name in unsupported:
        if name not in UNSUPPORTED:
            raise TypeError(f"export() got an unexpected keyword argument {name!r}")
        raise NotImplementedError(f"export: {name} is not supported; leave it out")
    if not export_params:
        raise NotImplementedError("export: export_params=False is not supported: parameters are always in the file")
    if not do_constant_folding:
        raise NotImplementedError("export: do_constant_folding=False is not supported: what is constant is computed")


def _checked_opset(version: int | None, onnx: Any) -> int:
    newest = onnx.defs.onnx_opset_version()
    if version is None:
        return min(DEFAULT_OPSET, newest)
    if not OLDEST_OPSET <= version <= newest:
        raise ValueError(f"export: opset_version must be in [{OLDEST_OPSET}, {newest}], got {version}")
    return version


def _names(given: Sequence[str] | None, what: str, needed: int) -> list[str]:
    """The names given, and more (input, input_1, …) for what remains. ValueError for too many, or for one twice."""
    names = list(given or ())
    if len(names) > needed or len(set(names)) < len(names):
        raise ValueError(f"export: {what}_names must be at most {needed} different names, got {names}")
    spare = (what if i == 0 else f"{what}_{i}" for i in count())
    return names + [name for name, _ in zip((n for n in spare if n not in names), range(needed - len(names)))]


def _axes(given: Mapping[str, Any] | None, names: Sequence[str] | None = None) -> Axes:
    """dynamic_axes with a name for each size; with `names`, only what belongs to these."""
    axes = {}
    for name, entry in (given or {}).items():
        if names is None or name in names:
            named = entry if isinstance(entry, Mapping) else {axis: f"{name}_dim_{axis}" for axis in entry}
            axes[name] = {int(axis): str(size) for axis, size in named.items()}
    return axes


def _check_axes(given: Mapping[str, Any] | None, known: list[list[str]]) -> None:
    for name in given or {}:
        if not any(name in names for names in known):
            raise ValueError(f"export: dynamic_axes names {name!r}, but the inputs and outputs are {known}")


def _leaves(x: Any) -> Iterator[Any]:
    if isinstance(x, (tuple, list)):
        for part in x:
            yield from _leaves(part)
    elif isinstance(x, Mapping):
        yield from _leaves(list(x.values()))
    else:
        yield x


def _replaced(x: Any, values: Iterator[Tensor]) -> Any:
    """The same nest with its tensors, in order, taken from `values`."""
    if isinstance(x, Tensor):
        return next(values)
    if isinstance(x, (tuple, list)):
        parts = [_replaced(part, values) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    return {key: _replaced(part, values) for key, part in x.items()} if isinstance(x, dict) else x


def _example(name: str, array: np.ndarray, free: Mapping[int, str], other: bool) -> Tensor:
    """A copy of an input, free axes longer by 1; the other example has other values, and free axes longer by 2.

    So a size of 1 that is broadcast is not taken for a free one, and what depends on the input differs between the two.
    """
    for axis in free:
        if not -array.ndim <= axis < array.ndim:
            raise ValueError(f"export: dynamic_axes names axis {axis} of {name}, of shape {array.shape}")
        last = np.take(array, [-1] * (2 if other else 1), axis)
        array = np.concatenate((array, last), axis)
    array = array.copy()
    if other:
        array = np.flip(array).copy()
        array = array * 0.5 + 0.25 if array.dtype.kind == "f" else array
    return wrap(array.astype(dtypes.as_dtype(array.dtype), copy=False))


# ── the run and the file ──────────────────────────────────────────────────────────────────────────────────────────────


def _run(
    model: Module, arguments: Any, inputs: list[Tensor], names: list[str], axes: Axes, opset: int,
    output_names: Sequence[str] | None, other: bool,
) -> tuple[Graph, list[tuple], list[tuple]]:  # fmt: skip
    """The graph of one run, and (name, shape, dtype) of its inputs and of its outputs."""
    examples = [_example(n, to_numpy(x.array), axes.get(n, {}), other) for n, x in zip(names, inputs)]
    recording = Recording(translated)
    given, keywords = _replaced(arguments, iter(examples))
    with no_grad(), recording.of(model, examples):
        results = [y for y in _leaves(model(*given, **keywords)) if isinstance(y, Tensor)]
        wires = [recording.wire(y) for y in results]
    graph = Graph(recording, opset, {recording.wire(x): name for x, name in zip(examples, names)})
    for name, value in [*model.named_parameters(), *model.named_buffers()]:
        graph.names[recording.wire(value)] = name
        graph.constants[name] = to_numpy(value.array)
    translate(recording, graph)
    made = _names(output_names, "output", len(results))
    for wire, name in zip(wires, made):
        graph.rename(wire, name)
    graph.prune()
    described = [[(n, tuple(x.shape), x.dtype) for n, x in zip(*pair)] for pair in ((names, examples), (made, results))]
    return graph, described[0], described[1]


def _proto(onnx: Any, graph: Graph, name: str, opset: int, shapes: Any, axes: Axes) -> Any:
    helper = onnx.helper
    kinds = helper.np_dtype_to_tensor_dtype

    def info(one: tuple, other: tuple) -> Any:
        called, shape, dtype = one
        free = {axis % len(shape): size for axis, size in axes.get(called, {}).items()}
        sizes = [n if n == m else free.get(i, f"{called}_dim_{i}") for i, (n, m) in enumerate(zip(shape, other[1]))]
        return helper.make_tensor_value_info(called, kinds(dtype), sizes)

    def attribute(value: Any) -> Any:
        return kinds(value) if isinstance(value, np.dtype) else value

    nodes = [
        helper.make_node(node.op, node.inputs, node.outputs, **{k: attribute(v) for k, v in node.attributes.items()})
        for node in graph.nodes
    ]
    constants = [onnx.numpy_helper.from_array(np.ascontiguousarray(a).reshape(a.shape), n)
                 for n, a in graph.constants.items()]  # fmt: skip
    inputs, outputs = [[info(a, b) for a, b in zip(*pair)] for pair in shapes]
    versions = [helper.make_opsetid("", opset)]
    return helper.make_model(
        helper.make_graph(nodes, name, inputs, outputs, constants),
        opset_imports=versions,
        ir_version=helper.find_min_ir_version_for(versions),
        producer_name="minipar",
    )

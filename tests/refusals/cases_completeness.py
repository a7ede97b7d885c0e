"""Bad inputs of what has no family's table of its own: questions, modes, layers of activations, data, workers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.refusals.refusal import Refusal


def row(of: str, call: Callable[[Any], Any], *says: str, error: type[BaseException] = RuntimeError) -> Refusal:
    return Refusal(of, f"it says {says[-1]}", call, error, says)


def setting(name: str, value: Any, of: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda m: setattr(of(m), name, value)


OF_NO_TENSOR = ["deg2rad", "rad2deg", "equal", "is_floating_point", "kron", "nan_to_num", "signbit"]
OF_NO_ARRAY = ["isfinite", "isinf", "isnan", "isneginf", "isposinf", "logical_not"]
OF_FLOATS = ["Hardshrink", "Hardsigmoid", "Hardswish", "LogSigmoid", "Mish", "SELU", "SiLU", "Softplus"]
OF_NUMBERS = ["LeakyReLU", "ReLU6", "CELU", "ELU"]

FUNCTIONS = [
    *[
        row(
            of,
            lambda m, of=of: getattr(m, of)(*["x"] * (1 + (of in ("equal", "kron")))),
            of,
            "tensor, not str",
            error=TypeError,
        )
        for of in OF_NO_TENSOR
    ],
    *[row(of, lambda m, of=of: getattr(m, of)("x"), "array, not str", error=TypeError) for of in OF_NO_ARRAY],
    row("relu", lambda m: m.relu(m.tensor([True])), "relu", "numbers, not bool"),
    row("nn.functional.linear", lambda m: m.nn.functional.linear(m.ones(2, 3), m.ones(2, 4)), r"\(2, 4\)", r"\(2, 3\)"),
    row("nn.functional.linear", lambda m: m.nn.functional.linear(m.ones(3), m.ones(3, 3, 3)), "weight", r"\(out, in\)"),
    row("nn.functional.softsign", lambda m: m.nn.functional.softsign("x"), "softsign", "not str", error=TypeError),
    row(
        "nn.functional.tanhshrink",
        lambda m: m.nn.functional.tanhshrink("x"),
        "input must be a tensor, not str",
        error=TypeError,
    ),
    row("result_type", lambda m: m.result_type("x"), "tensor", "not str", error=TypeError),
    row("result_type", lambda m: m.result_type(), "at least one", error=TypeError),
    row("linalg.diagonal", lambda m: m.linalg.diagonal(m.ones(3)), "dim1", "-2", error=IndexError),
    row("linalg.diagonal", lambda m: m.linalg.diagonal(m.ones(2, 2), dim1=0, dim2=0), "dim1 and dim2", "0 and 0"),
    row("nn.init.ones_", lambda m: m.nn.init.ones_("x"), "tensor", "not str", error=TypeError),
    row("nn.init.zeros_", lambda m: m.nn.init.zeros_([1.0]), "tensor", "not list", error=TypeError),
]
TYPED = [f"{kind}Tensor" for kind in ("Bool", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short")]
MEMORY_LIMIT = "cuda.set_per_process_memory_fraction"
OF_A_GPU = ["current_stream", "device", "get_device_capability", "get_device_name", "get_device_properties"]
OF_A_GPU += ["get_rng_state", "mem_get_info", "memory_allocated", "memory_reserved", "set_device", "Stream"]
OF_A_GPU += ["max_memory_allocated", "max_memory_reserved", "reset_peak_memory_stats"]
OF_A_GPU += ["synchronize"]
LIMITS = [
    row("finfo", lambda m: m.finfo(m.int64), "type", "floating-point", "not int64", "iinfo", error=TypeError),
    row("iinfo", lambda m: m.iinfo(m.float32), "type", "integer", "not float32", "finfo", error=TypeError),
    row("cuda.manual_seed", lambda m: m.cuda.manual_seed("x"), "seed", "not str", error=TypeError),
    *[
        row(f"cuda.{of}", lambda m, of=of: getattr(m.cuda, of)(device="cpu"), of, "device", "'cpu'", error=ValueError)
        for of in OF_A_GPU
    ],
    row("cuda.set_device", lambda m: m.cuda.set_device(-1), "index", "not -1", error=ValueError),
    row("cuda.set_device", lambda m: m.cuda.set_device(1.5), "device", "1.5", error=TypeError),
    row("cuda.set_rng_state", lambda m: m.cuda.set_rng_state((1,)), "state", r"not \(1,\)", error=TypeError),
    row("cuda.set_rng_state", lambda m: m.cuda.set_rng_state((1, 2), "cpu"), "device", "'cpu'", error=ValueError),
    row("cuda.Stream", lambda m: m.cuda.Stream(priority="high"), "priority", "int", "'high'", error=TypeError),
    row("cuda.Event", lambda m: m.cuda.Event(interprocess=True), "interprocess=True", error=NotImplementedError),
    row("cuda.stream", lambda m: m.cuda.stream(3), "stream", "Stream or None", "not 3", error=TypeError),
    row(MEMORY_LIMIT, lambda m: m.cuda.set_per_process_memory_fraction(0), "fraction", "not 0", error=ValueError),
    row(MEMORY_LIMIT, lambda m: m.cuda.set_per_process_memory_fraction(1.5), "fraction", "1.5", error=ValueError),
    row(MEMORY_LIMIT, lambda m: m.cuda.set_per_process_memory_fraction("1"), "fraction", "not str", error=TypeError),
    row("Tensor.new", lambda m: m.ones(1).new([1], [2]), "new", "one list", error=TypeError),
    *[row(of, lambda m, of=of: getattr(m, of)([1], [2]), of, "one list", error=TypeError) for of in TYPED],
]
MODES = [
    row("set_grad_enabled", lambda m: m.set_grad_enabled("no"), "mode", "bool", "'no'", error=TypeError),
    row("set_num_threads", lambda m: m.set_num_threads(0), "num", "at least 1, not 0"),
    row("set_num_threads", lambda m: m.set_num_threads(True), "num", "int, not bool", error=TypeError),
    row("inference_mode", lambda m: m.inference_mode("no"), "mode", "bool", "'no'", error=TypeError),
    row("autograd.set_detect_anomaly", lambda m: m.autograd.set_detect_anomaly(1), "mode", "not 1", error=TypeError),
    row("Generator", lambda m: m.Generator("cuda"), "device='cuda'", "'cpu'", error=NotImplementedError),
    row("set_rng_state", lambda m: m.set_rng_state((1,)), "state", r"not \(1,\)", error=TypeError),
    row("set_rng_state", lambda m: m.set_rng_state((1, -1)), "state", r"not \(1, -1\)", error=ValueError),
    row("random.fork_rng", lambda m: m.random.fork_rng([0]).__enter__(), r"devices=\[0\]", error=NotImplementedError),
    row("autograd.gradcheck", lambda m: m.autograd.gradcheck(m.exp, m.ones(2)), "requires_grad=True", error=ValueError),
    row(
        "autograd.gradgradcheck",
        lambda m: m.autograd.gradgradcheck(m.exp, m.ones(2, requires_grad=True)),
        "float64",
        "float32",
        error=ValueError,
    ),
]
METHODS = [
    row("Tensor.reshape", lambda m: m.ones(2, 3).reshape(4, 5), r"\(4, 5\)", r"\(2, 3\)"),
    row("Tensor.view_as", lambda m: m.ones(2, 3).view_as(m.ones(5)), r"\(5,\)", r"\(2, 3\)"),
    row("Tensor.reshape_as", lambda m: m.ones(2, 3).reshape_as(m.ones(5)), r"\(5,\)", r"\(2, 3\)"),
    row("Tensor.expand_as", lambda m: m.ones(2, 3).expand_as(m.ones(5)), r"\(2, 3\)", r"\(5,\)"),
    row("Tensor.split", lambda m: m.ones(2, 3).split((1, 3)), "split", r"\[1, 3\]"),
    row("Tensor.fill_", lambda m: m.ones(2, 3).fill_(m.ones(2)), "value", "0-d", r"\(2,\)"),
    row("Tensor.copy_", lambda m: m.ones(2, 3).copy_(m.ones(1, 2, 3)), "other", r"\(1, 2, 3\)", r"to \(2, 3\)"),
    row("Tensor.copy_", lambda m: m.ones(2, 3).copy_(3), "other", "tensor", "int", error=TypeError),
    row("Tensor.fill_diagonal_", lambda m: m.ones(3).fill_diagonal_(1.0), "two axes", r"\(3,\)"),
    row("Tensor.size", lambda m: m.ones(2, 3).size(5), "dim", r"\[-2, 1\]", "not 5", error=IndexError),
    row("Tensor.stride", lambda m: m.ones(2, 3).stride(5), "dim", r"\[-2, 1\]", "not 5", error=IndexError),
    row("Tensor.type", lambda m: m.ones(2).type("torch.QTensor"), "dtype", "float32", "QTensor", error=TypeError),
    row("Tensor.clone", lambda m: m.ones(2).clone(memory_format=1), "memory_format", error=NotImplementedError),
    row(
        "Tensor.contiguous", lambda m: m.ones(2).contiguous(memory_format=1), "memory_format", error=NotImplementedError
    ),
    row("Tensor.is_contiguous", lambda m: m.ones(2).is_contiguous(1), "memory_format", error=NotImplementedError),
    row("Tensor.mT", lambda m: m.ones(3).mT, "matrix", r"\(3,\)"),
    row("Tensor.data", setting("data", 3, lambda m: m.ones(2)), "data", "not int", error=TypeError),
    row("Tensor.grad", setting("grad", 3, lambda m: m.ones(2)), "grad", "not int", error=TypeError),
    row("Tensor.requires_grad", setting("requires_grad", True, lambda m: m.tensor([1])), "floating-point", "int64"),
    row(
        "Tensor.requires_grad",
        setting("requires_grad", False, lambda m: m.ones(2, requires_grad=True) * 2),
        "leaf",
        "detach",
    ),
    row(
        "Tensor.register_post_accumulate_grad_hook",
        lambda m: m.ones(2).register_post_accumulate_grad_hook(print),
        "leaf tensors that require grad",
    ),
    row("Tensor.polygamma", lambda m: m.ones(2).polygamma(-1), "polygamma", "not -1"),
    *[
        row(f"Tensor.{new}", lambda m, new=new: getattr(m.ones(2), new)((-2,)), "negative", r"\(-2,\)")
        for new in ("new_empty", "new_ones")
    ],
    row("Tensor.new_full", lambda m: m.ones(2).new_full((-2,), 1), "negative", r"\(-2,\)"),
    row("Tensor.new_tensor", lambda m: m.ones(2).new_tensor(["x"]), "numbers", "list", error=TypeError),
]
LAYERS = [
    *[
        row(f"nn.{layer}", lambda m, layer=layer: getattr(m.nn, layer)()(m.tensor([1])), "floating-point", "int64")
        for layer in OF_FLOATS
    ],
    *[
        row(f"nn.{layer}", lambda m, layer=layer: getattr(m.nn, layer)()(m.tensor([True])), "bool")
        for layer in OF_NUMBERS
    ],
    row("nn.Threshold", lambda m: m.nn.Threshold(0.1, 20)(m.tensor([True])), "threshold", "not bool"),
    row("nn.GELU", lambda m: m.nn.GELU("sigmoid")(m.ones(2)), "approximate", "'tanh'", "'sigmoid'"),
    row("nn.RReLU", lambda m: m.nn.RReLU(1.0, 0.5)(m.ones(2)), "lower=1.0", "upper=0.5"),
    row("nn.Softshrink", lambda m: m.nn.Softshrink(-1)(m.ones(2)), "lambd", "not -1"),
    row("nn.Flatten", lambda m: m.nn.Flatten(0, 5)(m.ones(2, 3)), "end_dim", "not 5", error=IndexError),
    *[
        row(
            f"nn.{layer}",
            lambda m, layer=layer: getattr(m.nn, layer)(dim=2)(m.ones(2, 3)),
            "dim",
            "not 2",
            error=IndexError,
        )
        for layer in ("Softmax", "Softmin")
    ],
    *[
        row(f"nn.{layer}", lambda m, layer=layer: getattr(m.nn, layer)()("x"), "tensor", "str", error=TypeError)
        for layer in ("Sigmoid", "Tanh", "Softsign", "Tanhshrink")
    ],
    row("nn.Linear", lambda m: m.nn.Linear(3, 2)(m.ones(2, 4)), "3 features", r"\(2, 4\)"),
    row("nn.Linear", lambda m: m.nn.Linear(-3, 2), "negative", "-3"),
    row("nn.Linear", lambda m: m.nn.Linear(3, 2)(m.ones(2, 3).double()), "float64", "float32"),
    row("nn.Parameter", lambda m: m.nn.Parameter(m.tensor([1])), "floating-point", "int64"),
]


def _recorded_twice(m):
    with m.parallel.timeline.record(), m.parallel.timeline.record():
        pass


SPLIT_LAYERS = [
    "ColumnParallelConv", "ColumnParallelLinear", "HeadParallelAttention", "RowParallelConv", "RowParallelLinear",
    "SequenceParallelEncoderLayer", "SequenceParallelLayerNorm", "VocabParallelEmbedding",
]  # fmt: skip
WORKERS = [
    row("parallel.launch", lambda m: m.parallel.launch(3), "function", "int", error=TypeError),
    row("parallel.launch", lambda m: m.parallel.launch(len, workers=0), "workers=0", "at least 1", error=ValueError),
    row("parallel.over_nccl", lambda m: m.parallel.over_nccl(3), "comm", "Communicator", "int", error=TypeError),
    row("parallel.launch", lambda m: m.parallel.launch(len, backend="x"), "backend='x'", "thread", error=ValueError),
    row(
        "parallel.PartDropout",
        lambda m: m.parallel.PartDropout(m.nn.ReLU(), -1, 0, 3),
        "dropout",
        "not ReLU",
        error=TypeError,
    ),
    *[
        row(
            f"parallel.{layer}",
            lambda m, layer=layer: getattr(m.parallel, layer)(m.nn.ReLU(), None),
            layer,
            "not ReLU",
            error=TypeError,
        )
        for layer in SPLIT_LAYERS
    ],
    row("parallel.Mesh", lambda m: m.parallel.Mesh(2, data=2), "comm", "Communicator", "int", error=TypeError),
    row(
        "parallel.parallelize", lambda m: m.parallel.parallelize(m.nn.ReLU(), 2), "mesh", "Mesh", "int", error=TypeError
    ),
    row("parallel.parallelize", lambda m: m.parallel.parallelize(3, None), "model", "Module", "int", error=TypeError),
    row(
        "parallel.ShardedBatchSampler",
        lambda m: m.parallel.ShardedBatchSampler([[0]], 2, 2),
        "2 from 0 to 1",
        "not 2",
        error=ValueError,
    ),
    row(
        "parallel.ShardedBatchSampler",
        lambda m: m.parallel.ShardedBatchSampler(3, 0, 2),
        "batch_sampler",
        "int",
        error=TypeError,
    ),
    row(
        "parallel.bytes_held",
        lambda m: m.parallel.bytes_held(3, None),
        "model",
        "ParallelModel",
        "int",
        error=TypeError,
    ),
    row("parallel.Layout", lambda m: m.parallel.Layout.parse("rows=2"), "'rows=2'", "pipeline", error=ValueError),
    row("parallel.Layout", lambda m: m.parallel.Layout.parse("data=0"), "'data=0'", "from 1 on", error=ValueError),
    row("parallel.Layout", lambda m: m.parallel.Layout(cut="time"), "cut", "measured", "'time'", error=ValueError),
    row(
        "parallel.Layout",
        lambda m: m.parallel.Layout(pipeline=2, cut="measured").parallelize(m.nn.ReLU(), None),
        "cut=measured",
        "pass sample=x",
        error=ValueError,
    ),
    row(
        "parallel.assert_equivalent",
        lambda m: m.parallel.assert_equivalent(3, (m.ones(2),), None, None),
        "model",
        "Module",
        "int",
        error=TypeError,
    ),
    row("parallel.tensor_parallel", lambda m: m.parallel.tensor_parallel(3, None), "model", "int", error=TypeError),
    row("parallel.describe_split", lambda m: m.parallel.describe_split(3), "model", "int", error=TypeError),
    row(
        "parallel.vocab_parallel_cross_entropy",
        lambda m: m.parallel.vocab_parallel_cross_entropy(m.ones(2, 3), m.ones(2, 3), None),
        "class probabilities",
        "gather_output",
        error=NotImplementedError,
    ),
    row(
        "parallel.PeriodicModelAverager",
        lambda m: m.parallel.PeriodicModelAverager(0),
        "period=0",
        "1",
        error=ValueError,
    ),
    row(
        "parallel.average_parameters",
        lambda m: m.parallel.average_parameters([], 3),
        "process_group",
        "Communicator",
        "int",
        error=TypeError,
    ),
    row(
        "parallel.ParameterServer",
        lambda m: m.parallel.ParameterServer(m.nn.ReLU(), 2),
        "comm",
        "Communicator",
        "int",
        error=TypeError,
    ),
    row("parallel.Pool", lambda m: m.parallel.Pool(devices=["cpu"]), "devices", "workers=2", error=ValueError),
    row(
        "parallel.spatial", lambda m: m.parallel.spatial(m.nn.ReLU(), 2), "comm", "Communicator", "int", error=TypeError
    ),
    row(
        "parallel.SyncBatchNorm",
        lambda m: m.parallel.SyncBatchNorm(3, process_group=2),
        "process_group",
        "Communicator",
        "int",
        error=TypeError,
    ),
    row("parallel.PoolExecutor", lambda m: m.parallel.PoolExecutor(0), "workers=0", "at least 1", error=ValueError),
    row("parallel.map", lambda m: m.parallel.map(3, []), "function", "int", error=TypeError),
    row("parallel.map", lambda m: m.parallel.map(len, [], executor=2), "executor", "Executor", "int", error=TypeError),
    row("parallel.map", lambda m: m.parallel.map(len, [], pool=2), "pool", "Pool", "int", error=TypeError),
    row("parallel.map", lambda m: m.parallel.map(len, [], retries=-1), "retries=-1", "at least 0", error=ValueError),
    row("parallel.map", lambda m: m.parallel.map(len, [], on_error="x"), "on_error='x'", "return", error=ValueError),
    row("parallel.map", lambda m: m.parallel.map(len, [], workers=-1), "workers=-1", "at least 0", error=ValueError),
    *[
        row(
            f"parallel.{name}",
            lambda m, name=name, first=first: getattr(m.parallel, name)(first, [1.0], workers=2, schedule="x"),
            "schedule='x'",
            "static, dynamic, guided",
            error=ValueError,
        )
        for name, first in [("map", len), ("map_unordered", len)]
    ],
    row("parallel.map", lambda m: m.parallel.map(len, [], chunksize=0), "chunksize=0", "at least 1", error=ValueError),
    row(
        "parallel.simulate_schedule", lambda m: m.parallel.simulate_schedule([1], 0), "workers=0", "1", error=ValueError
    ),
    row("parallel.simulate_schedule", lambda m: m.parallel.simulate_schedule([-1], 2), "costs", "-1", error=ValueError),
    row("parallel.Assignment", lambda m: m.parallel.Assignment.measured([1], 2), "recording", "Span", error=TypeError),
    row("parallel.init", lambda m: m.parallel.init(timeout=0), "timeout=0", "positive", error=ValueError),
    *[
        row(
            f"parallel.{compare}",
            lambda m, compare=compare, more=more: getattr(m.parallel, compare)(
                {"a": np.ones(2)}, {"b": np.ones(2)}, *more
            ),
            "tensors",
            r"\['a', 'b'\]",
            error=ValueError,
        )
        for compare, more in [("compare_gradients", ()), ("compare_parameters", ({}, 0.1))]
    ],
    row("parallel.all_reduce_cost", lambda m: m.parallel.all_reduce_cost("x", 2, 8), "'x'", "ring", error=ValueError),
    row(
        "parallel.simulate_all_reduce",
        lambda m: m.parallel.simulate_all_reduce("x", [np.ones(2)]),
        "algorithm='x'",
        "ring, tree",
        error=ValueError,
    ),
    row("parallel.timeline.span", lambda m: m.parallel.timeline.span(3), "name", "int", error=TypeError),
    row("parallel.timeline.record", lambda m: _recorded_twice(m), "recording already", error=RuntimeError),
    row(
        "parallel.timeline.merge", lambda m: m.parallel.timeline.merge([], []), "Communicator", "list", error=TypeError
    ),
    row(
        "parallel.timeline.chrome_trace",
        lambda m: m.parallel.timeline.chrome_trace([m.parallel.timeline.Span(0, "compute", "forward", 0, 1)]),
        "a list of recordings",
        "not Span",
        error=TypeError,
    ),
    row("viz.curve", lambda m: m.viz.curve({}), "at least one series", error=ValueError),
    row("viz.graph", lambda m: m.viz.graph(3), "Tensor", "int", error=TypeError),
]
COMPLETENESS = FUNCTIONS + LIMITS + MODES + METHODS + LAYERS + WORKERS

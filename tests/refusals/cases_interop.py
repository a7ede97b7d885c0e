"""Bad inputs of data, of saved files, and of what carries models and tensors to other libraries."""

from __future__ import annotations

from tests.refusals.refusal import Refusal

INTEROP = [
    Refusal("data.DataLoader", "dataset", lambda m: m.data.DataLoader(3), TypeError, ("dataset must have", "not int")),
    *[
        Refusal("data.DataLoader", why, lambda m, given=given: m.data.DataLoader([1, 2], **given), error, says)
        for why, given, error, says in (
            ("batch_size", {"batch_size": 0}, ValueError, ("batch_size must be a positive int", "0")),
            ("drop_last", {"drop_last": 1}, ValueError, ("drop_last must be a bool", "1")),
            ("workers", {"num_workers": -1}, ValueError, ("num_workers must be an int of 0 or more", "-1")),
            ("timeout", {"num_workers": 1, "timeout": -2}, ValueError, ("timeout must be", "-2")),
            ("timeout alone", {"timeout": 2}, ValueError, ("timeout has no meaning without workers",)),
            ("persistent", {"persistent_workers": True}, ValueError, ("persistent_workers", "num_workers > 0")),
            ("prefetch", {"num_workers": 1, "prefetch_factor": 0}, ValueError, ("prefetch_factor must be", "0")),
            ("two orders", {"sampler": [0], "shuffle": True}, ValueError, ("sampler and shuffle exclude",)),
            ("no batches", {"batch_size": None, "drop_last": True}, ValueError, ("drop_last", "batch_size=None")),
            ("batches given", {"batch_sampler": [[0]], "batch_size": 2}, ValueError, ("batch_sampler excludes",)),
            ("processes", {"multiprocessing_context": "fork"}, NotImplementedError, ("multiprocessing_context",)),
            ("any order", {"in_order": False}, NotImplementedError, ("in_order=False",)),
            ("device", {"pin_memory_device": "cuda"}, NotImplementedError, ("pin_memory_device",)),
        )
    ],
    Refusal(
        "data.TensorDataset", "list", lambda m: m.data.TensorDataset([1]), TypeError, ("takes tensors", "not list")
    ),
    Refusal(
        "data.TensorDataset",
        "sizes",
        lambda m: m.data.TensorDataset(m.zeros(2), m.zeros(3)),
        ValueError,
        ("equal first size", r"\[2, 3\]"),
    ),
    Refusal(
        "data.Dataset", "getitem", lambda m: m.data.Dataset()[0], NotImplementedError, ("must define __getitem__",)
    ),
    Refusal(
        "data.IterableDataset", "iter", lambda m: iter(m.data.IterableDataset()), NotImplementedError, ("__iter__",)
    ),
    Refusal("data.Sampler", "iter", lambda m: iter(m.data.Sampler()), NotImplementedError, ("must define __iter__",)),
    Refusal(
        "data.ConcatDataset",
        "none",
        lambda m: m.data.ConcatDataset([]),
        AssertionError,
        ("datasets must not be empty",),
    ),
    Refusal(
        "data.ConcatDataset",
        "a stream",
        lambda m: m.data.ConcatDataset([m.data.IterableDataset()]),
        AssertionError,
        ("must be map-style", "ChainDataset"),
    ),
    Refusal(
        "data.ConcatDataset",
        "index",
        lambda m: m.data.ConcatDataset([[1, 2]])[2],
        IndexError,
        ("idx must be below 2", "got 2"),
    ),
    Refusal(
        "data.ChainDataset",
        "a list",
        lambda m: list(m.data.ChainDataset([[1, 2]])),
        AssertionError,
        ("must be IterableDatasets", "not list"),
    ),
    Refusal(
        "data.StackDataset", "none", lambda m: m.data.StackDataset(), ValueError, ("as arguments", "or as keywords")
    ),
    Refusal(
        "data.StackDataset",
        "sizes",
        lambda m: m.data.StackDataset([1], [1, 2]),
        ValueError,
        ("equal sizes", r"\[1, 2\]"),
    ),
    Refusal(
        "data.random_split",
        "sum",
        lambda m: m.data.random_split([1, 2, 3], [1, 1]),
        ValueError,
        ("lengths must be ints that add up to 3", r"\[1, 1\]"),
    ),
    Refusal(
        "data.random_split",
        "negative",
        lambda m: m.data.random_split([1, 2, 3], [4, -1]),
        ValueError,
        ("lengths must not be negative", "-1"),
    ),
    Refusal(
        "data.RandomSampler",
        "count",
        lambda m: m.data.RandomSampler([1], num_samples=0),
        ValueError,
        ("num_samples must be a positive int", "0"),
    ),
    Refusal("data.RandomSampler", "empty", lambda m: m.data.RandomSampler([]), ValueError, ("data_source is empty",)),
    Refusal(
        "data.WeightedRandomSampler",
        "weights",
        lambda m: m.data.WeightedRandomSampler([[1.0]], 1),
        ValueError,
        ("weights must be a 1-d sequence", r"\(1, 1\)"),
    ),
    Refusal(
        "data.WeightedRandomSampler",
        "count",
        lambda m: m.data.WeightedRandomSampler([1.0], 1.5),
        ValueError,
        ("num_samples must be a positive int", "1.5"),
    ),
    Refusal(
        "data.BatchSampler",
        "size",
        lambda m: m.data.BatchSampler([0], -1, False),
        ValueError,
        ("batch_size must be a positive int", "-1"),
    ),
    Refusal(
        "data.default_collate",
        "type",
        lambda m: m.data.default_collate([object()]),
        TypeError,
        ("tensors, arrays, numbers, strings", "not of object", "collate_fn"),
    ),
    Refusal(
        "data.default_collate",
        "lengths",
        lambda m: m.data.default_collate([(1, 2), (1,)]),
        RuntimeError,
        ("equal lengths", r"\[1, 2\]"),
    ),
    Refusal("data.load", "name", lambda m: m.data.load("mnist"), ValueError, ("name='mnist'", "fashion_mnist")),
    Refusal(
        "save", "a module", lambda m: m.save(m.nn.Linear(1, 1), "x"), TypeError, ("obj is a Linear", "its state_dict")
    ),
    Refusal(
        "save", "a set", lambda m: m.save({"a": {1, 2}}, "x"), TypeError, ("a is a set", "dicts, lists and tuples")
    ),
    Refusal("load", "pickles", lambda m: m.load("x", weights_only=False), NotImplementedError, ("weights_only=False",)),
    Refusal(
        "onnx.export",
        "model",
        lambda m: m.onnx.export(abs, m.zeros(1)),
        TypeError,
        ("model must be an nn.Module", "builtin_function_or_method"),
    ),
    *[
        Refusal(
            "onnx.export",
            why,
            lambda m, given=given: m.onnx.export(m.nn.Linear(3, 2), m.zeros(4, 3), **given),
            error,
            says,
        )
        for why, given, error, says in (
            ("keyword", {"opset": 17}, TypeError, ("unexpected keyword argument 'opset'",)),
            ("shapes", {"dynamic_shapes": {}}, NotImplementedError, ("dynamic_shapes is not supported",)),
            ("parameters", {"export_params": False}, NotImplementedError, ("export_params=False",)),
        )
    ],
]

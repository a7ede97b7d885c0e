"""Bad inputs of what makes tensors."""

from __future__ import annotations

from tests.refusals.refusal import Refusal

CREATION = [
    *[
        Refusal(name, why, call, error, says)
        for name in ("zeros", "ones", "empty", "rand", "randn")
        for why, call, error, says in (
            ("negative", lambda m, name=name: getattr(m, name)(2, -1), RuntimeError, ("size", "not be negative", "-1")),
            ("no int", lambda m, name=name: getattr(m, name)(2.0), TypeError, ("size must be an int", "2.0")),
            ("pinned", lambda m, name=name: getattr(m, name)(2, pin_memory=True), NotImplementedError, ("pin_memory",)),
        )
    ],
    *[
        Refusal(
            name,
            "a list",
            lambda m, name=name: getattr(m, name)([1.0], *((1,) * (name in ("full_like",)))),
            TypeError,
            ("input must be a tensor, not list",),
        )
        for name in ("zeros_like", "ones_like", "empty_like", "full_like", "rand_like", "randn_like")
    ],
    Refusal(
        "randint_like", "bounds", lambda m: m.randint_like(m.zeros(2), 3, 3), RuntimeError, ("high must be above",)
    ),
    Refusal("full", "value", lambda m: m.full((2,), "1"), TypeError, ("fill_value must be a number", "str")),
    Refusal("scalar_tensor", "value", lambda m: m.scalar_tensor([1]), TypeError, ("s must be a number", "list")),
    Refusal("eye", "negative", lambda m: m.eye(-1), RuntimeError, ("not be negative", "-1")),
    Refusal("tril_indices", "size", lambda m: m.tril_indices(2.5, 2), TypeError, ("size must be an int", "2.5")),
    Refusal("triu_indices", "size", lambda m: m.triu_indices(2, -2), RuntimeError, ("not be negative", "-2")),
    Refusal("arange", "step", lambda m: m.arange(0, 5, -1), RuntimeError, ("step of -1", "0 to 5")),
    Refusal("arange", "infinite", lambda m: m.arange(float("inf")), RuntimeError, ("must be finite", "inf")),
    Refusal("linspace", "steps", lambda m: m.linspace(0, 1, -1), RuntimeError, ("steps must be 0 or more", "-1")),
    Refusal("logspace", "start", lambda m: m.logspace("0", 1, 3), TypeError, ("start must be a number", "str")),
    Refusal("tensor", "text", lambda m: m.tensor("a"), TypeError, ("expected numbers", "str")),
    Refusal(
        "tensor", "dtype", lambda m: m.tensor(1, dtype="complex64"), TypeError, ("dtype must be one of", "complex64")
    ),
    Refusal("as_tensor", "text", lambda m: m.as_tensor(["a"]), TypeError, ("expected numbers",)),
    Refusal("asarray", "copy", lambda m: m.asarray([1.0], copy=False), ValueError, ("copy=False",)),
    Refusal("from_numpy", "a list", lambda m: m.from_numpy([1]), TypeError, ("ndarray must be a NumPy array", "list")),
    Refusal("from_dlpack", "a list", lambda m: m.from_dlpack([1]), TypeError, ("__dlpack__", "list")),
    Refusal("randint", "order", lambda m: m.randint(3, 3, (2,)), RuntimeError, ("high must be above low", "high=3")),
    Refusal("randint", "size", lambda m: m.randint(3), TypeError, ("size must be given",)),
    Refusal("randperm", "negative", lambda m: m.randperm(-1), RuntimeError, ("not be negative", "-1")),
    Refusal("normal", "std", lambda m: m.normal(0.0, -1.0, (2,)), RuntimeError, ("std must be 0 or more", "-1")),
    Refusal("normal", "size", lambda m: m.normal(0.0, 1.0), TypeError, ("size must be given",)),
    Refusal("bernoulli", "range", lambda m: m.bernoulli(m.tensor([2.0])), RuntimeError, ("probabilities",)),
    Refusal("multinomial", "zero", lambda m: m.multinomial(m.zeros(3), 1), RuntimeError, ("not all 0",)),
    Refusal("multinomial", "many", lambda m: m.multinomial(m.ones(3), 4), RuntimeError, ("num_samples", "3", "4")),
    Refusal("Tensor", "a number", lambda m: m.Tensor(2.5), TypeError, ("one list, array or tensor", "2.5")),
    Refusal("Tensor.uniform_", "order", lambda m: m.zeros(2).uniform_(1, 0), RuntimeError, ("from=1", "to=0")),
    Refusal("Tensor.normal_", "std", lambda m: m.zeros(2).normal_(0, -1), RuntimeError, ("std must be 0 or more",)),
    Refusal(
        "Tensor.normal_", "dtype", lambda m: m.zeros(2).long().normal_(), RuntimeError, ("floating-point", "int64")
    ),
    Refusal("Tensor.exponential_", "rate", lambda m: m.zeros(2).exponential_(0), RuntimeError, ("lambd", "positive")),
    Refusal("Tensor.bernoulli_", "p", lambda m: m.zeros(2).bernoulli_(2.0), RuntimeError, ("probabilities",)),
    Refusal("Tensor.random_", "order", lambda m: m.zeros(2).random_(3, 3), RuntimeError, ("from=3", "to=3")),
    Refusal("Tensor.new_zeros", "negative", lambda m: m.zeros(2).new_zeros(-1), RuntimeError, ("not be negative",)),
    Refusal("Tensor.to", "text", lambda m: m.zeros(2).to("gpu"), ValueError, ("'gpu'", "'cuda:N'", "dtype")),
    Refusal("Tensor.to", "format", lambda m: m.zeros(2).to(memory_format=1), NotImplementedError, ("memory_format",)),
]

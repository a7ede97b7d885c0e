"""Bad inputs: gradients, functional derivatives, modes, recomputation."""

from __future__ import annotations

from tests.refusals.refusal import Refusal


def leaf(m):
    return m.ones(2, requires_grad=True)


AUTOGRAD = [
    Refusal("autograd.Variable", "no tensor", lambda m: m.autograd.Variable([1.0]), TypeError, ("data", "not list")),
    Refusal(
        "autograd.grad", "no graph", lambda m: m.autograd.grad(m.ones(()), leaf(m)), RuntimeError, ("requires_grad",)
    ),
    Refusal(
        "autograd.grad",
        "no scalar",
        lambda m: m.autograd.grad(leaf(m) * 2, leaf(m)),
        RuntimeError,
        (r"\(2,\)", "scalar"),
    ),
    Refusal(
        "autograd.grad",
        "unused",
        lambda m: m.autograd.grad(leaf(m).sum(), leaf(m)),
        RuntimeError,
        ("input 0", "allow_unused"),
    ),
    Refusal(
        "autograd.grad",
        "constant input",
        lambda m: m.autograd.grad(leaf(m).sum(), m.ones(2)),
        RuntimeError,
        ("input 0", "does not require"),
    ),
    Refusal(
        "autograd.backward",
        "counts",
        lambda m: m.autograd.backward([leaf(m).sum()], [None, None]),
        RuntimeError,
        ("1 tensors", "got 2"),
    ),
    Refusal(
        "Tensor.backward",
        "shape of gradient",
        lambda m: (leaf(m) * 2).backward(m.ones(3)),
        RuntimeError,
        (r"\(3,\)", r"\(2,\)"),
    ),
    Refusal(
        "Tensor.backward",
        "dtype of gradient",
        lambda m: (leaf(m) * 2).backward(m.ones(2).double()),
        RuntimeError,
        ("float64", "float32"),
    ),
    Refusal(
        "Tensor.backward", "no tensor", lambda m: (leaf(m) * 2).backward([1.0, 1.0]), TypeError, ("gradient", "list")
    ),
    Refusal(
        "Tensor.requires_grad_",
        "integers",
        lambda m: m.tensor([1]).requires_grad_(),
        RuntimeError,
        ("floating-point", "int64"),
    ),
    Refusal("Tensor.register_hook", "constant", lambda m: m.ones(2).register_hook(print), RuntimeError, ("hook",)),
    Refusal("Tensor.retain_grad", "constant", lambda m: m.ones(2).retain_grad(), RuntimeError, ("retain_grad",)),
    Refusal("Tensor.numpy", "tracked", lambda m: leaf(m).numpy(), RuntimeError, ("detach",)),
    Refusal("Tensor.item", "several", lambda m: m.ones(2).item(), RuntimeError, ("one element", r"\(2,\)")),
    Refusal(
        "autograd.functional.jacobian",
        "no tensor",
        lambda m: m.autograd.functional.jacobian(len, 3),
        TypeError,
        ("inputs", "int"),
    ),
    *[
        Refusal(
            f"autograd.functional.{name}",
            "func returns no tensor",
            lambda m, name=name: getattr(m.autograd.functional, name)(lambda x: 3.0, m.ones(2)),
            TypeError,
            ("func must return", "float"),
        )
        for name in ("jacobian", "vjp", "jvp")
    ],
    *[
        Refusal(
            f"autograd.functional.{name}",
            "no scalar",
            lambda m, name=name: getattr(m.autograd.functional, name)(lambda x: x * 2, m.ones(2)),
            RuntimeError,
            ("one element", r"\(2,\)"),
        )
        for name in ("hessian", "vhp", "hvp")
    ],
    Refusal(
        "autograd.Function",
        "no backward",
        lambda m: m.autograd.Function.apply(m.ones(2)),
        NotImplementedError,
        ("forward",),
    ),
    Refusal(
        "utils.checkpoint.checkpoint",
        "old form",
        lambda m: m.utils.checkpoint.checkpoint(len, m.ones(2), use_reentrant=True),
        NotImplementedError,
        ("use_reentrant",),
    ),
    Refusal(
        "utils.checkpoint.checkpoint_sequential",
        "segments",
        lambda m: m.utils.checkpoint.checkpoint_sequential([len], 2, m.ones(2)),
        ValueError,
        ("1 to 1", "not 2"),
    ),
    Refusal("use_kernels", "unknown", lambda m: m.use_kernels("fast"), ValueError, ("'auto'", "'fast'")),
    Refusal(
        "set_float32_matmul_precision",
        "unknown",
        lambda m: m.set_float32_matmul_precision("low"),
        ValueError,
        ("highest, high, medium", "'low'"),
    ),
    Refusal("set_default_dtype", "integer", lambda m: m.set_default_dtype(m.int64), TypeError, ("floating", "int64")),
    Refusal("manual_seed", "text", lambda m: m.manual_seed("1"), TypeError, ("seed must be an int", "str")),
    Refusal("device", "unknown", lambda m: m.device("tpu"), ValueError, ("tpu", "cpu")),
]

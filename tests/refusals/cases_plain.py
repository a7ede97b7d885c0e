"""Bad inputs: plain functions of `torch`, windows, random numbers, dtypes."""

from __future__ import annotations

from tests.refusals.refusal import Refusal


def refused(of, why, call, error, *says):
    return Refusal(of, why, lambda m: call(m, m.ones(2, 3)), error, says)


PLAIN = [
    refused("compile", "no function", lambda m, x: m.compile(3), TypeError, "function", "int"),
    refused("compile", "dynamic", lambda m, x: m.compile(abs, dynamic=True), NotImplementedError, "dynamic=True"),
    refused("compile", "mode", lambda m, x: m.compile(abs, mode="x"), NotImplementedError, "mode='x'"),
    refused("compile", "array", lambda m, x: m.compile(abs)(x.numpy()), TypeError, "compiled step", "NumPy"),
    *[
        refused(name, "no tensor", lambda m, x, name=name: getattr(m, name)(1.0), TypeError, f"{name}: input", "float")
        for name in ("clone", "detach", "get_device", "is_complex", "is_signed", "numel")
    ],
    *[
        refused(name, "p", lambda m, x, name=name: getattr(m, name)(x, 2.0, True), ValueError, "between 0 and 1", "2")
        for name in ("dropout", "alpha_dropout", "feature_alpha_dropout")
    ],
    refused("embedding", "index", lambda m, x: m.embedding(x, m.tensor([2])), IndexError, "2"),
    refused("layer_norm", "shape", lambda m, x: m.layer_norm(x, (2,)), RuntimeError, "normalized_shape", r"\(2, 3\)"),
    refused("group_norm", "groups", lambda m, x: m.group_norm(x, 2), RuntimeError, "num_groups", "3"),
    refused("cross", "no 3", lambda m, x: m.cross(x[:, :2], x[:, :2]), RuntimeError, "axis of 3", r"\(2, 2\)"),
    refused("cross", "axis", lambda m, x: m.cross(x, x, dim=0), RuntimeError, "3 entries along dim 0"),
    refused("gradient", "short", lambda m, x: m.gradient(x[:1]), RuntimeError, "dim 0", "2 samples", r"\(1, 3\)"),
    refused("gradient", "edge_order", lambda m, x: m.gradient(x, edge_order=3), RuntimeError, "1 or 2", "3"),
    refused("gradient", "spacing", lambda m, x: m.gradient(x, spacing=[1.0]), RuntimeError, "spacing", "axes"),
    refused("gradient", "places", lambda m, x: m.gradient(x, spacing=[m.ones(4)], dim=1), RuntimeError, r"\(3,\)",
            r"\(4,\)"),
    refused("can_cast", "dtype", lambda m, x: m.can_cast("complex64", m.float32), TypeError, "dtype", "complex64"),
    refused("promote_types", "dtype", lambda m, x: m.promote_types(m.float32, "str"), TypeError, "dtype", "str"),
    refused("frombuffer", "empty", lambda m, x: m.frombuffer(b"", dtype=m.uint8), ValueError, "buffer", "empty"),
    refused("frombuffer", "offset", lambda m, x: m.frombuffer(b"12", dtype=m.uint8, offset=2), ValueError, "offset",
            "2 bytes"),
    refused("frombuffer", "odd", lambda m, x: m.frombuffer(b"123", dtype=m.int16), ValueError, "3 bytes", "int16"),
    refused("frombuffer", "count", lambda m, x: m.frombuffer(b"123", dtype=m.int16, count=2), ValueError, "2 elements"),
    *[
        refused(name, why, lambda m, x, name=name, args=args: getattr(m, name)(args[0], dtype=args[1]), RuntimeError,
                name, said)
        for name in ("hann_window", "hamming_window", "blackman_window", "bartlett_window", "kaiser_window")
        for why, args, said in (("length", (-1, None), "window_length"), ("dtype", (3, "int64"), "floating point"))
    ],
    refused("poisson", "negative", lambda m, x: m.poisson(-x), RuntimeError, "rates", "0 or more"),
    refused("poisson", "integers", lambda m, x: m.poisson(x.long()), NotImplementedError, "floating-point", "int64"),
    refused("Tensor.geometric_", "p", lambda m, x: x.geometric_(1.0), RuntimeError, "p must lie between 0 and 1"),
    refused("Tensor.log_normal_", "std", lambda m, x: x.log_normal_(0.0, 0.0), RuntimeError, "std must be positive"),
    refused("Tensor.log_normal_", "dtype", lambda m, x: x.long().log_normal_(), RuntimeError, "floating-point"),
    refused("Tensor.cauchy_", "sigma", lambda m, x: x.cauchy_(0.0, -1.0), RuntimeError, "sigma must be positive", "-1"),
    refused("Tensor.addmm_", "shape", lambda m, x: x.addmm_(x, m.ones(3, 4)), RuntimeError, r"\(2, 4\)"),
]  # fmt: skip

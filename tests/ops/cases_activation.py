"""Rows of the table: activations."""

from __future__ import annotations

from tests.ops.case import Case, apart, broadcast, one, real

ANY = one()


def called(name, *args, **kwargs):
    return lambda m, x: getattr(m.nn.functional, name)(x, *args, **kwargs)


def in_place(name, *args, **kwargs):
    """Over a copy of the input: the input itself is a leaf."""
    return lambda m, x: getattr(m.nn.functional, name)(x * 1, *args, **kwargs)


def of(name, *args, **kwargs):
    """A case whose kinks, if any, are multiples of 0.13."""
    label = " ".join(map(str, [name, *args, *kwargs.values()]))
    return Case(label, called(name, *args, **kwargs), shapes=ANY, values=apart)


RECTIFIED = [
    of("leaky_relu"),
    of("leaky_relu", 0.3),
    of("elu"),
    of("elu", 0.7),
    of("selu"),
    of("celu"),
    of("celu", 2.0),
    of("rrelu"),
    of("rrelu", 0.1, 0.5),
    Case("rrelu training", called("rrelu", 0.25, 0.25, training=True), shapes=ANY, values=apart),
    Case("prelu one", lambda m, x, w: m.nn.functional.prelu(x, w), ((3, 3), (1,)),
         broadcast().map(lambda drawn: (drawn[0], (1,))), (apart, real)),
    Case("prelu channels", lambda m, x, w: m.nn.functional.prelu(x, w), ((2, 3, 3), (3,)),
         one(2, 4, 0).map(lambda drawn: (drawn[0], (drawn[0][1],))), (apart, real)),
]  # fmt: skip

HARD = [
    of("relu6"),
    of("hardtanh"),
    of("hardtanh", -0.39, 0.52),
    of("threshold", 0.26, 20.0),
    of("hardshrink", 0.52),
    of("softshrink", 0.52),
    Case("hardsigmoid", lambda m, x: m.nn.functional.hardsigmoid(x * 4), shapes=ANY, values=apart,
         theirs=lambda m, x: m.nn.functional.relu6(x * 4 + 3) / 6),  # its own gradient is g · float32(1/6)
    Case("hardswish", lambda m, x: m.nn.functional.hardswish(x * 4), shapes=ANY, values=apart),
]  # fmt: skip

SMOOTH = [
    Case(case.name, case.run, shapes=ANY)
    for case in (
        of("softplus"),
        of("softplus", 2.0, 0.3),
        of("logsigmoid"),
        of("gelu"),
        of("gelu", approximate="tanh"),
        of("silu"),
        of("mish"),
        of("softsign"),
        of("tanhshrink"),
        of("softmin", dim=-1),
        of("softmin", 0),
    )
] + [
    Case("glu", lambda m, x: m.nn.functional.glu(m.cat([x, x * x], -1)), shapes=one(1)),
    Case("glu dim", called("glu", 0), ((4, 3),)),
    Case("softmax of F", called("softmax", 0), shapes=ANY),
    Case("log_softmax of F", called("log_softmax", dim=-1), shapes=ANY),
]

IN_PLACE = [
    Case(f"{name} in place", in_place(name, *args, inplace=True), shapes=ANY, values=apart)
    for name, *args in (
        ("relu",),
        ("relu6",),
        ("leaky_relu", 0.2),
        ("rrelu",),
        ("elu", 0.7),
        ("selu",),
        ("celu",),
        ("silu",),
        ("mish",),
        ("hardtanh",),
        ("hardswish",),
        ("threshold", 0.26, 1.5),
    )
] + [
    Case(name, in_place(name, *args), shapes=ANY, values=apart)
    for name, *args in (
        ("relu_",),
        ("leaky_relu_", 0.2),
        ("rrelu_",),
        ("elu_", 0.7),
        ("selu_",),
        ("celu_", 0.5),
        ("hardtanh_", -0.39, 0.52),
        ("threshold_", 0.26, 1.5),
    )
]

ACTIVATIONS = RECTIFIED + HARD + SMOOTH + IN_PLACE

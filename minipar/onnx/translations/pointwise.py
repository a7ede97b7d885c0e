"""Arithmetic, functions of one element, activations, comparisons."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from ...ops import activation_hard as hard
from ...ops import activation_rectified as rectified
from ...ops import activation_smooth as smooth
from ...ops import (
    arithmetic,
    division,
    exponential,
    extremes,
    hyperbolic,
    magnitude,
    power,
    special,
    trigonometry,
    variance,
)
from ...ops.compare import Compare, Not
from ...ops.op import Cast, Identity
from ...ops.rounding import Rounded
from ...ops.select import Where
from ...ops.shape import Copy
from ..graph import Graph
from ..recording import Step
from .table import translates

SAME = {
    arithmetic.Add: "Add",
    arithmetic.Mul: "Mul",
    arithmetic.Neg: "Neg",
    arithmetic.Sub: "Sub",
    division.Div: "Div",
    exponential.Exp: "Exp",
    exponential.Log: "Log",
    exponential.Sigmoid: "Sigmoid",
    extremes.LowerTo: "Min",
    extremes.Maximum: "Max",
    extremes.Minimum: "Min",
    extremes.RaiseTo: "Max",
    hyperbolic.Acosh: "Acosh",
    hyperbolic.Asinh: "Asinh",
    hyperbolic.Atanh: "Atanh",
    hyperbolic.Cosh: "Cosh",
    hyperbolic.Sinh: "Sinh",
    hyperbolic.Tanh: "Tanh",
    magnitude.Abs: "Abs",
    magnitude.Sign: "Sign",
    power.Pow: "Pow",
    power.Reciprocal: "Reciprocal",
    power.Sqrt: "Sqrt",
    rectified.PReLU: "PRelu",
    rectified.ReLU: "Relu",
    smooth.Softsign: "Softsign",
    special.Erf: "Erf",
    trigonometry.Acos: "Acos",
    trigonometry.Asin: "Asin",
    trigonometry.Atan: "Atan",
    trigonometry.Cos: "Cos",
    trigonometry.Sin: "Sin",
    trigonometry.Tan: "Tan",
    variance.Root: "Sqrt",
    Copy: "Identity",
    Identity: "Identity",
    Where: "Where",
}


def _same(op: str, graph: Graph, step: Step, *inputs: str) -> str:
    return graph.add(op, *inputs)


for kind, op in SAME.items():
    translates(kind)(partial(_same, op))

COMPARISONS = {
    "bitwise_and": "And",
    "bitwise_or": "Or",
    "bitwise_xor": "Xor",
    "equal": "Equal",
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "logical_and": "And",
    "logical_or": "Or",
    "logical_xor": "Xor",
}


@translates(Compare)
def compare(graph: Graph, step: Step, a: str, b: str) -> str:
    relation = step.what.relation
    if relation == "not_equal":
        return graph.add("Not", graph.add("Equal", a, b))
    bits = relation.startswith(("bitwise", "logical"))
    if relation not in COMPARISONS or (bits and graph.form(step.inputs[0]).dtype.kind != "b"):
        raise NotImplementedError(f"export: there is no translation of {relation} to ONNX for these operands")
    return graph.add(COMPARISONS[relation], a, b)


@translates(Not)
def negation(graph: Graph, step: Step, x: str) -> str:
    if graph.form(step.inputs[0]).dtype.kind != "b":
        raise NotImplementedError(f"export: there is no translation of {step.what.relation} of numbers to ONNX")
    return graph.add("Not", x)


@translates(Cast)
def cast(graph: Graph, step: Step, x: str) -> str:
    return graph.add("Cast", x, to=np.dtype(step.what.dtype))


@translates(Rounded)
def rounded(graph: Graph, step: Step, x: str) -> str:
    if graph.form(step.inputs[0]).dtype.kind != "f":
        return x
    if step.what.direction == "trunc":
        return graph.add("Mul", graph.add("Sign", x), graph.add("Floor", graph.add("Abs", x)))
    return graph.add({"floor": "Floor", "ceil": "Ceil", "rint": "Round"}[step.what.direction], x)


# ── in several nodes ──────────────────────────────────────────────────────────────────────────────────────────────────


def _like(graph: Graph, step: Step, value: Any) -> str:
    """A number as a constant of the first input's dtype."""
    return graph.constant(value, graph.form(step.inputs[0]).dtype)


@translates(power.PowScalar)
def power_of_number(graph: Graph, step: Step, x: str) -> str:
    return graph.add("Pow", x, _like(graph, step, step.what.n))


@translates(power.RSqrt)
def rsqrt(graph: Graph, step: Step, x: str) -> str:
    return graph.add("Reciprocal", graph.add("Sqrt", x))


@translates(exponential.Log1p)
def log1p(graph: Graph, step: Step, x: str) -> str:
    return graph.add("Log", graph.add("Add", x, _like(graph, step, 1)))


@translates(exponential.Expm1)
def expm1(graph: Graph, step: Step, x: str) -> str:
    return graph.add("Sub", graph.add("Exp", x), _like(graph, step, 1))


@translates(extremes.Clamp, hard.Hardtanh)
def clip(graph: Graph, step: Step, x: str) -> str:
    bounds = (step.what.low, step.what.high)
    return graph.add("Clip", x, *["" if bound is None else _like(graph, step, bound) for bound in bounds])


@translates(rectified.LeakyReLU)
def leaky_relu(graph: Graph, step: Step, x: str) -> str:
    return graph.add("LeakyRelu", x, alpha=step.what.slope)


@translates(rectified.ELU)
def elu(graph: Graph, step: Step, x: str) -> str:
    """scale · Elu(rate x, α), where above 0 the rate is divided out again."""
    kind = step.what
    if kind.rate == 1:
        y = graph.add("Elu", x, alpha=kind.alpha)
        return y if kind.scale == 1 else graph.add("Mul", y, _like(graph, step, kind.scale))
    bent = graph.add("Elu", graph.add("Mul", x, _like(graph, step, kind.rate)), alpha=kind.alpha)
    positive = graph.add("Greater", x, _like(graph, step, 0))
    return graph.add("Mul", graph.add("Where", positive, x, bent), _like(graph, step, kind.scale))


@translates(hard.Threshold)
def threshold(graph: Graph, step: Step, x: str) -> str:
    low = graph.add("LessOrEqual", x, _like(graph, step, step.what.threshold))
    return graph.add("Where", low, _like(graph, step, step.what.value), x)


@translates(hard.Hardshrink)
def hardshrink(graph: Graph, step: Step, x: str) -> str:
    return graph.add("Shrink", x, lambd=float(step.what.width), bias=0.0)


@translates(hard.Softshrink)
def softshrink(graph: Graph, step: Step, x: str) -> str:
    return graph.add("Shrink", x, lambd=float(step.what.width), bias=float(step.what.width))


@translates(hard.Hardsigmoid)
def hardsigmoid(graph: Graph, step: Step, x: str) -> str:
    return graph.add("HardSigmoid", x, alpha=1 / 6, beta=0.5)


@translates(hard.Hardswish)
def hardswish(graph: Graph, step: Step, x: str) -> str:
    return graph.add("Mul", x, hardsigmoid(graph, step, x))


@translates(smooth.Softplus)
def softplus(graph: Graph, step: Step, x: str) -> str:
    """ln(1 + e^(βx)) / β; above the threshold the formula and PyTorch's x agree to rounding."""
    if step.what.beta == 1:
        return graph.add("Softplus", x)
    beta = _like(graph, step, step.what.beta)
    return graph.add("Div", graph.add("Softplus", graph.add("Mul", x, beta)), beta)


@translates(smooth.LogSigmoid)
def log_sigmoid(graph: Graph, step: Step, x: str) -> str:
    return graph.add("Neg", graph.add("Softplus", graph.add("Neg", x)))


@translates(smooth.SiLU)
def silu(graph: Graph, step: Step, x: str) -> str:
    return graph.add("Mul", x, graph.add("Sigmoid", x))


@translates(smooth.Mish)
def mish(graph: Graph, step: Step, x: str) -> str:
    return graph.add("Mul", x, graph.add("Tanh", graph.add("Softplus", x)))


@translates(smooth.GELU)
def gelu(graph: Graph, step: Step, x: str) -> str:
    erf = graph.add("Erf", graph.add("Mul", x, _like(graph, step, 1 / math.sqrt(2))))
    return _half_gated(graph, step, x, erf)


@translates(smooth.TanhGELU)
def tanh_gelu(graph: Graph, step: Step, x: str) -> str:
    cubed = graph.add("Mul", graph.add("Pow", x, _like(graph, step, 3)), _like(graph, step, 0.044715))
    inner = graph.add("Mul", graph.add("Add", x, cubed), _like(graph, step, math.sqrt(2 / math.pi)))
    return _half_gated(graph, step, x, graph.add("Tanh", inner))


def _half_gated(graph: Graph, step: Step, x: str, gate: str) -> str:
    """x (1 + gate) / 2"""
    opened = graph.add("Add", gate, _like(graph, step, 1))
    return graph.add("Mul", graph.add("Mul", x, opened), _like(graph, step, 0.5))

"""tanh and σ in `over_rows` formulas, for float32 and float64.

Both stand on eˣ = 2ⁿ (1 + p): x = n ln 2 + r with |r| ≤ ln 2 / 2, and p = eʳ − 1 by a polynomial, so that eˣ − 1 =
2ⁿ p + (2ⁿ − 1) keeps its digits near 0 (Muller, Elementary Functions, 3rd ed., ch. 11). tanh x = (e²ˣ − 1) / (e²ˣ + 1).
They need half as many instructions as those for everybody, which must serve what gates do not care for: tanh of −0 is 0
here, and no σ is below 1e-38 (float64: 1e-307). Largest errors, in units of the last place: tanh 2.5, σ 2.
"""

from typing import NamedTuple

from llvmlite import ir

from .over_rows import Numbers


class _Parts(NamedTuple):
    bits: int  # of a number
    shift: int  # of the exponent's lowest bit
    round: float  # so large that it has no digits behind the point: adding it rounds to an integer
    one_bits: int  # the number 1
    ln2_high: float  # n times it is exact
    ln2_low: float
    largest: float  # whose exponential is finite
    saturates: float  # where tanh is 1
    terms: tuple[float, ...]  # (eʳ − 1 − r) / r², the highest power first


_FACTORIALS = [1.0]
for _k in range(1, 15):
    _FACTORIALS.append(_FACTORIALS[-1] * _k)

_PARTS = {
    "float": _Parts(32, 23, 1.5 * 2.0**23, 0x3F800000, 0.693359375, -2.12194440e-4, 88.0, 10.0,
                    (1.3819392e-3, 8.368893e-3, 4.166829e-2, 1.666652e-1, 4.9999994e-1)),
    "double": _Parts(64, 52, 1.5 * 2.0**52, 0x3FF0000000000000, 6.93147180369123816490e-01, 1.90821492927058770002e-10,
                     708.0, 20.0, tuple(1 / _FACTORIALS[k] for k in range(14, 1, -1))),
}  # fmt: skip
_LOG2_E = 1.4426950408889634


def _power(x: Numbers, parts: _Parts) -> tuple[Numbers, Numbers]:
    """2ⁿ and p, of eˣ = 2ⁿ (1 + p)."""
    builder, vectors = x.vectors.builder, x.vectors
    rounded = x.times_plus(_LOG2_E, parts.round)
    n = rounded - parts.round
    r = n.times_plus(-parts.ln2_high, x)
    r = n.times_plus(-parts.ln2_low, r)
    p = x.new(x.of(parts.terms[0]))
    for term in parts.terms[1:]:
        p = p.times_plus(r, term)
    p = p.times_plus(r * r, r)
    # The last bits of the rounded number are n; moved to where the exponent stands, they scale the 1 there.
    whole = ir.VectorType(ir.IntType(parts.bits), vectors.lanes)
    constant = lambda value: ir.Constant(whole, [value] * vectors.lanes)  # noqa: E731
    scaled = builder.shl(builder.bitcast(rounded.value, whole), constant(parts.shift))
    scaled = builder.add(scaled, constant(parts.one_bits))
    return x.new(builder.bitcast(scaled, vectors.type)), p


def tanh(x: Numbers) -> Numbers:
    parts = _parts(x)
    x = x.within(-parts.saturates, parts.saturates)
    scale, p = _power(x + x, parts)
    t = scale.times_plus(p, scale - 1)
    return t / (t + 2)


def sigmoid(x: Numbers) -> Numbers:
    parts = _parts(x)
    scale, p = _power((0 - x).within(-parts.largest + 1, parts.largest), parts)
    return 1 / (scale.times_plus(p, scale) + 1)


def _parts(x: Numbers) -> _Parts:
    return _PARTS[str(x.vectors.real)]

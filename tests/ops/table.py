"""The table: every differentiable operation, in every form that its code distinguishes."""

from __future__ import annotations

import minipar
from minipar.ops.op import Op
from tests.ops.case import Case
from tests.ops.cases_activation import ACTIVATIONS
from tests.ops.cases_arrange import ARRANGE
from tests.ops.cases_attention import ATTENTION
from tests.ops.cases_conv import CONVOLUTION
from tests.ops.cases_decompose import DECOMPOSITIONS, RANKS
from tests.ops.cases_functions import FUNCTIONS, QUESTIONS
from tests.ops.cases_grid_sample import GRID_SAMPLES
from tests.ops.cases_layers import LAYERS
from tests.ops.cases_linalg import LINALG
from tests.ops.cases_loss import LOSSES
from tests.ops.cases_normalization import NORMALIZATION
from tests.ops.cases_overwrite import SCATTERED, UNDIFFERENTIABLE_STRAGGLERS
from tests.ops.cases_parts import PARTS, UNDIFFERENTIABLE_PARTS
from tests.ops.cases_places import PLACES
from tests.ops.cases_plain import PLAIN
from tests.ops.cases_pointwise import POINTWISE
from tests.ops.cases_pool import POOLING
from tests.ops.cases_recurrent import RECURRENT
from tests.ops.cases_reduce import REDUCE, UNDIFFERENTIABLE_REDUCE
from tests.ops.cases_stragglers import STRAGGLERS

TABLE: list[Case] = ATTENTION + (
    NORMALIZATION + POINTWISE + FUNCTIONS + ARRANGE + LAYERS + ACTIVATIONS + LOSSES + CONVOLUTION + POOLING + LINALG
)
TABLE += RECURRENT
TABLE += PARTS + PLACES
TABLE += REDUCE
TABLE += STRAGGLERS + SCATTERED
TABLE += PLAIN + DECOMPOSITIONS + GRID_SAMPLES

# Operations without a gradient: (name, function on minipar and on torch alike), of two inputs.
UNDIFFERENTIABLE = [
    *[(relation, lambda m, a, b, relation=relation: getattr(a, f"__{relation}__")(b))
      for relation in ("lt", "le", "eq", "ne", "gt", "ge")],
    ("and", lambda m, a, b: (a > 0) & (b > 0)),
    ("or", lambda m, a, b: (a > 0) | (b > 0)),
    ("xor", lambda m, a, b: (a > 0) ^ (b > 0)),
    ("and of integers", lambda m, a, b: a.long() & 3),
    ("invert", lambda m, a, b: ~(a > 0)),
    ("invert integers", lambda m, a, b: ~b.long()),
    ("logical_not", lambda m, a, b: m.logical_not(a > b)),
    *QUESTIONS,
    *UNDIFFERENTIABLE_PARTS,
    *UNDIFFERENTIABLE_REDUCE,
    *UNDIFFERENTIABLE_STRAGGLERS,
    *RANKS,
]  # fmt: skip


def every_op() -> set[type[Op]]:
    """All operations that can be applied: the classes under Op that have a forward of their own or inherit one, and are
    not what others are made of ("Base …")."""
    assert minipar.nn  # every module of minipar.ops is loaded
    found, stack = set(), [Op]
    while stack:
        for kind in stack.pop().__subclasses__():
            stack.append(kind)
            base = (kind.__doc__ or "").startswith("Base")
            if kind.forward is not Op.forward and kind.__module__.startswith("minipar.") and not base:
                found.add(kind)
    return found

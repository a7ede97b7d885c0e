"""Rows of the table: what `torch` has as a plain function, and estimates of derivatives."""

from __future__ import annotations

import numpy as np

from tests.ops.case import Case, among, one

PLACES = np.array([0.0, 0.5, 2.0, 3.0])


def slope(name, *shapes, example=((4, 4),), **options):
    return Case(f"gradient {name}", lambda m, x: m.cat([g.flatten() for g in m.gradient(x, **options)]), example,
                among(*[(s,) for s in shapes]))  # fmt: skip


def along(m, x, places):
    """Coordinates in x's dtype."""
    return m.tensor(places.tolist(), dtype=x.dtype)


PLAIN = [
    Case("clone function", lambda m, x: m.clone(x) * x, ((3, 3),), one()),
    Case("cross function", lambda m, a, b: m.cross(a, b), ((3, 3), (3, 3)), among(((2, 3), (2, 3)), ((3, 2), (3, 1))),
         theirs=lambda m, a, b: m.cross(a, b, dim=tuple(a.shape).index(3))),  # else it warns
    Case("cross method", lambda m, a, b: a.cross(b, dim=-1), ((3, 3), (3, 3))),
    Case("layer_norm function", lambda m, x, w: m.layer_norm(x, (3,), w), ((3, 3), (3,))),
    Case("group_norm function", lambda m, x, w: m.group_norm(x, 2, w), ((3, 4, 3), (4,))),
    Case("embedding function", lambda m, w: m.embedding(w, m.tensor([2, 0, 2]), 0), ((3, 3),), derivative=False),
    Case("embedding function, no padding", lambda m, w: m.embedding(w, m.tensor([2, 0, 2])), ((3, 3),)),
    slope("all", (2,), (3, 2), (2, 3, 4)),
    slope("spacing", (3,), (2, 4), spacing=0.5),
    slope("spacings", (2, 4), spacing=[0.5, 2.0]),
    slope("one dim", (2, 3), (4, 2, 3), dim=1),
    slope("edge_order 2", (3,), (3, 4), edge_order=2),
    *[
        Case(f"gradient coordinates {order}",
             lambda m, x, order=order: m.gradient(x, spacing=[along(m, x, PLACES)], dim=0, edge_order=order)[0],
             ((4, 3),), among(((4,),), ((4, 2, 2),)))
        for order in (1, 2)
    ],
]  # fmt: skip

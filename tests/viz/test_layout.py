"""The layout on its own: layers, order, distances."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minipar.viz.layout import BETWEEN_BOXES, BETWEEN_LAYERS, _apart, layered


@st.composite
def acyclic(draw):
    count = draw(st.integers(1, 12))
    pairs = [(a, b) for b in range(count) for a in range(b)]
    edges = draw(st.lists(st.sampled_from(pairs), max_size=24)) if pairs else []
    sizes = st.floats(10, 200)
    return (
        draw(st.lists(sizes, min_size=count, max_size=count)),
        draw(st.lists(sizes, min_size=count, max_size=count)),
        edges,
    )


@settings(max_examples=50, deadline=None)
@given(acyclic())
def test_edges_lead_forwards_and_boxes_keep_their_distance(drawn):
    along, across, edges = drawn
    layout = layered(along, across, edges)
    for (source, target), route in zip(edges, layout.routes):
        places = [layout.spans[source][1], *[at for at, _ in route], layout.spans[target][0]]
        assert places == sorted(places)
        assert layout.spans[target][0] - layout.spans[source][1] >= BETWEEN_LAYERS - 1e-6
    for a in range(len(along)):
        for b in range(a):
            if layout.spans[a] == layout.spans[b]:
                distance = abs(layout.centres[a][1] - layout.centres[b][1])
                assert distance >= (across[a] + across[b]) / 2 + BETWEEN_BOXES - 1e-6
    assert all(
        y - w / 2 + 1e-6 >= 0 and y + w / 2 <= layout.breadth + 1e-6 for (_, y), w in zip(layout.centres, across)
    )


def test_a_chain_is_straight_and_its_leaves_stand_beside_it():
    edges = [(0, 1), (1, 2), (2, 3), (4, 2), (5, 3)]
    layout = layered([40.0] * 6, [20.0] * 6, edges)
    chain = [layout.centres[box][1] for box in (1, 2, 3)]
    assert max(chain) - min(chain) < 2.0
    assert layout.spans[4] == layout.spans[1], "a leaf stands just before its first use"


def test_crossings_that_can_be_avoided_are():
    # Two chains whose ends are given in opposite order: a0-b1-c0 and a1-b0-c1.
    layout = layered([10.0] * 6, [10.0] * 6, [(0, 3), (1, 2), (3, 4), (2, 5)])
    y = [across for _, across in layout.centres]
    assert (y[0] < y[1]) == (y[3] < y[2]) == (y[4] < y[5])


def test_a_cycle_is_an_error():
    with pytest.raises(ValueError, match="cycle"):
        layered([1.0, 1.0], [1.0, 1.0], [(0, 1), (1, 0)])


def test_apart_is_the_nearest_arrangement():
    assert _apart([0.0, 100.0], [10.0, 10.0], [1.0, 1.0]) == [0.0, 100.0]
    gap = 10.0 + BETWEEN_BOXES
    assert _apart([50.0, 50.0], [10.0, 10.0], [1.0, 1.0]) == pytest.approx([50 - gap / 2, 50 + gap / 2])
    assert _apart([50.0, 50.0], [10.0, 10.0], [1.0, 3.0]) == pytest.approx([50 - gap * 3 / 4, 50 + gap / 4])

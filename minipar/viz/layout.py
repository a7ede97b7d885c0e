"""Where the boxes of a graph stand: layers, few crossings, short edges.

Sugiyama's method (Sugiyama, Tagawa & Toda 1981, Methods for visual understanding of hierarchical system structures):
1. each box gets a layer, after all that it depends on; an edge over several layers gets a bend in each;
2. layers are sorted by the mean place of the neighbours, forth and back, and the order with the fewest crossings stays;
3. within its layer each box moves as near to its neighbours as order and room allow.

It knows nothing of tensors: boxes are positions in a list, "along" is the direction of the edges, "across" the other.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

Edge = tuple[int, int]  # from a box to one that depends on it
Point = tuple[float, float]  # (along, across)

BETWEEN_LAYERS, BETWEEN_BOXES, BEND = 46.0, 18.0, 10.0  # pixels; BEND is the room that a passing edge takes
SWEEPS = 12
LIGHT, HEAVY = 1.0, 100.0  # how strongly links pull: chains and long edges are straight, what starts stands beside them


@dataclass
class Layout:
    centres: list[Point]  # of each box
    spans: list[Point]  # of each box: from where to where its layer reaches
    routes: list[list[Point]]  # of each edge: for each layer that it passes, where it enters it and where it leaves it
    length: float  # along
    breadth: float  # across


def layered(along: Sequence[float], across: Sequence[float], edges: Sequence[Edge]) -> Layout:
    """Place boxes of the given sizes so that every edge leads forwards. The edges must have no cycle."""
    layer_of = _layers(len(along), edges)
    routes, neighbours = _bends(layer_of, edges)
    sizes = [*across, *[BEND] * (len(layer_of) - len(across))]
    layers = _ordered(layer_of, neighbours)
    computed = {target for _, target in edges}
    kinds = ["inner" if box in computed else "start" for box in range(len(along))]
    kinds += ["bend"] * (len(layer_of) - len(along))
    places = _across(layers, sizes, neighbours, layer_of, kinds)
    spans = _spans(layers, along)
    low = min(place - size / 2 for place, size in zip(places, sizes))
    high = max(place + size / 2 for place, size in zip(places, sizes))
    centres = [(sum(spans[layer]) / 2, place - low) for layer, place in zip(layer_of, places)]
    return Layout(
        centres[: len(along)],
        [spans[layer] for layer in layer_of[: len(along)]],
        [[(end, centres[bend][1]) for bend in route for end in spans[layer_of[bend]]] for route in routes],
        spans[-1][1],
        high - low,
    )


def _layers(count: int, edges: Sequence[Edge]) -> list[int]:
    """The longest path to each box; a box that depends on nothing moves up to just before its first use."""
    after: list[list[int]] = [[] for _ in range(count)]
    waiting = [0] * count
    for source, target in edges:
        after[source].append(target)
        waiting[target] += 1
    layer = [0] * count
    starts = [box for box in range(count) if not waiting[box]]
    ready = list(starts)
    while ready:
        box = ready.pop()
        for target in after[box]:
            layer[target] = max(layer[target], layer[box] + 1)
            waiting[target] -= 1
            if not waiting[target]:
                ready.append(target)
    if any(waiting):
        raise ValueError("the edges contain a cycle")
    for box in starts:
        layer[box] = min((layer[target] for target in after[box]), default=1) - 1
    return layer


def _bends(layer_of: list[int], edges: Sequence[Edge]) -> tuple[list[list[int]], list[list[int]]]:
    """Add a bend for every layer that an edge passes: to `layer_of`, to the edge's route, and as a neighbour.

    The edges out of one box share their bends: they run together and branch off one by one.
    """
    bends: dict[tuple[int, int], int] = {}  # (a box, a layer that its edges pass) -> the bend
    links: dict[Edge, None] = {}
    routes = []
    for source, target in edges:
        route = []
        for layer in range(layer_of[source] + 1, layer_of[target]):
            if (source, layer) not in bends:
                bends[source, layer] = len(layer_of)
                layer_of.append(layer)
            route.append(bends[source, layer])
        stops = [source, *route, target]
        links.update(dict.fromkeys(pairwise(stops)))
        routes.append(route)
    neighbours: list[list[int]] = [[] for _ in layer_of]
    for a, b in links:
        neighbours[a].append(b)
        neighbours[b].append(a)
    return routes, neighbours


def _ordered(layer_of: list[int], neighbours: list[list[int]]) -> list[list[int]]:
    layers: list[list[int]] = [[] for _ in range(max(layer_of) + 1)]
    for vertex, layer in enumerate(layer_of):
        layers[layer].append(vertex)
    best, fewest = [list(layer) for layer in layers], _crossings(layers, layer_of, neighbours)
    for sweep in range(SWEEPS):
        step = 1 if sweep % 2 == 0 else -1
        for index in range(len(layers))[::step]:
            near = index - step
            place = {v: i for i, v in enumerate(layers[near])} if 0 <= near < len(layers) else {}
            here = {v: i for i, v in enumerate(layers[index])}

            def mean(v: int, place: dict[int, int] = place, here: dict[int, int] = here) -> float:
                known = [place[n] for n in neighbours[v] if n in place]
                return sum(known) / len(known) if known else here[v]

            layers[index].sort(key=mean)
        crossings = _crossings(layers, layer_of, neighbours)
        if crossings < fewest:
            best, fewest = [list(layer) for layer in layers], crossings
    return best


def _crossings(layers: list[list[int]], layer_of: list[int], neighbours: list[list[int]]) -> int:
    """Pairs of edges between two layers whose ends are in opposite order: inversions of the sorted edge list."""
    place = {v: i for layer in layers for i, v in enumerate(layer)}
    total = 0
    for layer in layers:
        seen: list[int] = []
        for v in layer:
            ends = sorted(place[n] for n in neighbours[v] if layer_of[n] == layer_of[v] + 1)
            total += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
    return total


def _across(
    layers: list[list[int]], sizes: list[float], neighbours: list[list[int]], layer_of: list[int], kinds: list[str]
) -> list[float]:
    """Each vertex as near to its neighbours as order and sizes allow: in turns to those before and to those after.

    The last turn looks at those after: what a result was computed from stands around it.
    """
    weights = [LIGHT if kind == "start" else HEAVY for kind in kinds]
    places = [0.0] * len(sizes)

    def wanted(v: int, near: int) -> float:
        links = [(n, HEAVY if kinds[n] == kinds[v] else LIGHT) for n in neighbours[v] if layer_of[n] == near]
        total = sum(weight for _, weight in links)
        return sum(weight * places[n] for n, weight in links) / total if total else places[v]

    for sweep in range(SWEEPS):
        step = 1 if sweep % 2 == 0 else -1
        for layer in layers[::step]:
            targets = [wanted(v, layer_of[v] - step) for v in layer]
            settled = _apart(targets, [sizes[v] for v in layer], [weights[v] for v in layer])
            for v, place in zip(layer, settled):
                places[v] = place
    return places


def _apart(wanted: list[float], sizes: list[float], weights: list[float]) -> list[float]:
    """The centres nearest to the wanted ones (weighted least squares) that keep their order and do not overlap.

    Pool-adjacent-violators (Ayer et al. 1955): take off the room that the sizes need, average where the order is
    violated, put the room back.
    """
    room = [0.0]
    for a, b in pairwise(sizes):
        room.append(room[-1] + (a + b) / 2 + BETWEEN_BOXES)
    pools: list[tuple[float, float, int]] = []  # place, weight, count
    for place, offset, weight in zip(wanted, room, weights):
        pool = (place - offset, weight, 1)
        while pools and pools[-1][0] > pool[0]:
            before, heavy, count = pools.pop()
            both = heavy + pool[1]
            pool = ((before * heavy + pool[0] * pool[1]) / both, both, count + pool[2])
        pools.append(pool)
    level = [place for place, _, count in pools for _ in range(count)]
    return [base + offset for base, offset in zip(level, room)]


def _spans(layers: list[list[int]], along: Sequence[float]) -> list[Point]:
    """From where to where each layer reaches. Every layer has a box in it, not only bends."""
    spans, at = [], 0.0
    for layer in layers:
        widest = max(along[v] for v in layer if v < len(along))
        spans.append((at, at + widest))
        at += widest + BETWEEN_LAYERS
    return spans

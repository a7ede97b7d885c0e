"""The graph of a result: every operation with its value, and the gradient that came back to it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from itertools import pairwise
from typing import Any

from ..tape import Value
from .history import Box, boxes_of
from .layout import Layout, Point, layered
from .numbers import gradient_lines, lines, norm
from .svg import FAINT, MONO, MUTED, Picture, document, element, text, text_width
from .trace import Trace
from .tree import tree

LIMIT = 200  # boxes
WIDEST = 1150.0  # pixels: a graph that would be wider when drawn to the right is drawn downwards
MARGIN, PAD, TITLE, LINE, LEGEND = 18.0, 10.0, 25.0, 15.0, 34.0
MONO_STYLE = {"font_family": MONO, "font_size": 11}
FILLS = {"operation": "#ffffff", "leaf": "#fff7df", "constant": "#f3f5f8", "folded": "#f3f5f8"}
STROKES = {"operation": "#8593a5", "leaf": "#d5a62a", "constant": "#b6c0cc", "folded": "#8593a5"}
ARROW = "#9aa6b4"
COLD, EVEN, HOT = (0x86, 0xB4, 0xEA), (0xF2, 0xF3, 0xF5), (0xF2, 0x8F, 0x7E)


def graph(tensor: Value, trace: Trace | None = None, names: Mapping[str, Any] | None = None) -> Graph:
    """The operations that made `tensor`, as a picture (in a notebook, or `.save("graph.svg")`) and as text (`print`).

    The tape alone knows the operations, and the values and gradients of the leaves. With a `trace` of the forward pass
    the picture shows the shape, value and (after backward) gradient of every intermediate result, and constants.

    `names` says what tensors are called: `{"w": w}`, `dict(model.named_parameters())` or `locals()`; what is no tensor,
    and names with a leading underscore, are ignored. At most 200 boxes: older operations become one that counts them.

    >>> w = minipar.tensor(2.0, requires_grad=True)
    >>> minipar.viz.graph(w * w, names={"w": w}).svg().startswith("<svg")
    True
    """
    if not isinstance(tensor, Value):
        raise TypeError(f"graph draws the history of a Tensor, not of {type(tensor).__name__}")
    return Graph(boxes_of(tensor, trace, names or {}, LIMIT))


class Graph(Picture):
    """What `graph` returns. `boxes` are what it shows, the result first.

    >>> w = minipar.tensor(2.0, requires_grad=True)
    >>> len(minipar.viz.graph(w * w).boxes)
    2
    """

    def __init__(self, boxes: list[Box]) -> None:
        self.boxes = boxes

    def __repr__(self) -> str:
        return tree(self.boxes)

    def svg(self, legend: bool = True) -> str:
        """The picture; `legend` says whether the scale of the gradients' colours is drawn below it."""
        cards = [_Card(box) for box in self.boxes]
        edges = [(source, target) for target, box in enumerate(self.boxes) for source in box.inputs]
        rightwards = True
        layout = layered([card.width for card in cards], [card.height for card in cards], edges)
        if layout.length > WIDEST:
            downwards = layered([card.height for card in cards], [card.width for card in cards], edges)
            if downwards.breadth < layout.length:
                rightwards, layout = False, downwards
        colours = _Colours([card.norm for card in cards if card.norm is not None])
        parts = _arrows(layout, cards, edges, rightwards)
        for card, (along, across) in zip(cards, layout.centres):
            x, y = (along, across) if rightwards else (across, along)
            parts.append(card.drawn(x - card.width / 2, y - card.height / 2, colours))
        width, height = (layout.length, layout.breadth) if rightwards else (layout.breadth, layout.length)
        if legend and colours.reach is not None:
            parts.append(colours.legend(0, height + 14))
            width, height = max(width, colours.LEGEND_WIDTH), height + LEGEND
        moved = element("g", "\n".join(parts), transform=f"translate({MARGIN:g} {MARGIN:g})")
        label = f"computation graph of {self.boxes[0].title}"
        return document(width + 2 * MARGIN, height + 2 * MARGIN, [moved], label)


class _Card:
    """A box with the lines that are written on it."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.shape = " ".join("×".join(map(str, shape)) for shape in box.shapes if shape)
        self.value = [line for value in box.values if value is not None for line in lines(value)]
        known = [grad for grad in box.grads if grad is not None]
        self.grad = [line for grad in known for line in gradient_lines(grad)]
        self.norm = math.hypot(*[norm(grad) for grad in known]) if known else None
        head = text_width(box.title, bold=True) + (14 + text_width(self.shape, 11) if self.shape else 0)
        body = [text_width(line, 11) for line in self.value] + [38 + text_width(line, 11) for line in self.grad]
        self.width = max(70.0, head, *body) + 2 * PAD
        self.band = LINE * len(self.grad) + 8 if self.grad else 0.0
        self.body = TITLE + (LINE * len(self.value) + 4 if self.value else 4.0)
        self.height = self.body + self.band

    def drawn(self, x: float, y: float, colours: _Colours) -> str:
        box, right = self.box, self.width - PAD
        outline: dict[str, Any] = {"width": self.width, "height": self.height, "rx": 7}
        words = ": ".join(filter(None, [box.title, box.formula]))
        parts = [element("title", escape(words, quote=False)), element("rect", **outline, fill=FILLS[box.kind])]
        parts.append(text(PAD, 17, box.title, font_weight=600))
        if self.shape:
            parts.append(text(right, 17, self.shape, text_anchor="end", fill=MUTED, font_size=11))
        for i, line in enumerate(self.value):
            parts.append(text(PAD, TITLE + 10 + i * LINE, line, **MONO_STYLE))
        if self.norm is not None:
            parts.append(element("path", d=self._band_path(), fill=colours.of(self.norm)))
            parts.append(text(PAD, self.body + 14.5, "grad", fill=MUTED, font_size=10))
            for i, line in enumerate(self.grad):
                parts.append(text(right, self.body + 15 + i * LINE, line, text_anchor="end", **MONO_STYLE))
        dashes = "4 3" if box.kind == "folded" else None
        parts.append(element("rect", **outline, fill="none", stroke=STROKES[box.kind], stroke_dasharray=dashes))
        return element("g", "".join(parts), transform=f"translate({x:.1f} {y:.1f})")

    def _band_path(self) -> str:
        """The foot of the box, with its two round corners."""
        w, r = self.width, 7
        return f"M0 {self.body:g}H{w:g}V{self.height - r:g}a{r} {r} 0 0 1 -{r} {r}H{r}a{r} {r} 0 0 1 -{r} -{r}z"


class _Colours:
    """Gradient norms as colours, on a logarithmic scale with 1 (the gradient of a scalar result) in the middle."""

    LEGEND_WIDTH = 300.0

    def __init__(self, norms: list[float]) -> None:
        decades = [abs(math.log10(n)) for n in norms if n > 0 and math.isfinite(n)]
        self.reach = min(8, max(1, math.ceil(max(decades, default=0)))) if norms else None

    def of(self, norm: float) -> str:
        if not math.isfinite(norm):
            return "#e04fd0"
        if norm == 0:
            return FAINT
        assert self.reach is not None
        return self._mixed(math.log10(norm) / self.reach)

    def _mixed(self, t: float) -> str:
        share = min(1.0, abs(t))
        far = HOT if t > 0 else COLD
        return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(EVEN, far))

    def legend(self, x: float, y: float) -> str:
        assert self.reach is not None
        low, high = (f"{10.0**reach:g}" for reach in (-self.reach, self.reach))
        steps, step = 30, 4.0
        left = x + 88
        parts = [text(x, y + 10, "gradient norm", fill=MUTED, font_size=11)]
        for i in range(steps):
            colour = self._mixed(2 * (i + 0.5) / steps - 1)
            parts.append(element("rect", x=left + i * step, y=y, width=step + 0.4, height=12, fill=colour))
        for at, words in ((0.0, low), (0.5, "1"), (1.0, high)):
            anchor = {0.0: "start", 0.5: "middle", 1.0: "end"}[at]
            parts.append(text(left + at * steps * step, y + 24, words, text_anchor=anchor, fill=MUTED, font_size=10))
        return "".join(parts)


def _arrows(layout: Layout, cards: list[_Card], edges: list[tuple[int, int]], rightwards: bool) -> list[str]:
    """A smooth line from each box to each that uses it; the lines into one box enter side by side."""
    sizes = [(card.width, card.height) if rightwards else (card.height, card.width) for card in cards]
    entries: dict[int, list[int]] = {}
    for i, (_, target) in enumerate(edges):
        entries.setdefault(target, []).append(i)
    lines: dict[tuple[Point, Point], None] = {}  # what edges share is drawn once
    heads = []
    for target, incoming in entries.items():
        incoming.sort(key=lambda i: (layout.routes[i] or [layout.centres[edges[i][0]]])[-1][1])
        gap = min(14.0, 0.7 * sizes[target][1] / len(incoming))
        for k, i in enumerate(incoming):
            source = edges[i][0]
            (x1, y1), (x2, y2) = layout.centres[source], layout.centres[target]
            start = (x1 + sizes[source][0] / 2, y1)
            end = (x2 - sizes[target][0] / 2 - 5, y2 + (k - (len(incoming) - 1) / 2) * gap)
            leaves, reaches = (layout.spans[source][1], y1), (layout.spans[target][0], end[1])
            stops = [start, leaves, *layout.routes[i], reaches, end]
            lines.update(dict.fromkeys(pairwise(stops)))
            heads.append(end)
    drawn = [_line(*ends, rightwards) for ends in lines]
    return [element("path", d="".join(drawn), fill="none", stroke=ARROW, stroke_width=1.4), _heads(heads, rightwards)]


def _line(start: Point, end: Point, rightwards: bool) -> str:
    (x1, y1), (x2, y2) = start, end
    if y1 == y2:
        return f"M{_at(*start, rightwards)}L{_at(*end, rightwards)}"
    middle = (x1 + x2) / 2
    a, b, c, d = (_at(*p, rightwards) for p in (start, (middle, y1), (middle, y2), end))
    return f"M{a}C{b} {c} {d}"


def _heads(ends: list[Point], rightwards: bool) -> str:
    corners = [[_at(x + dx, y + dy, rightwards) for dx, dy in ((-3, -4), (4, 0), (-3, 4))] for x, y in ends]
    return element("path", d="".join(f"M{a}L{b}L{c}z" for a, b, c in corners), fill=ARROW)


def _at(along: float, across: float, rightwards: bool) -> str:
    return f"{along:.1f} {across:.1f}" if rightwards else f"{across:.1f} {along:.1f}"

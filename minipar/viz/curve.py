"""Lines over a horizontal axis: the loss over the epochs, the speed-up over the workers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from .numbers import short
from .svg import FAINT, MUTED, PAPER, Picture, document, element, text, text_width

COLOURS = ("#2f6fb7", "#d1603d", "#3c9a63", "#8a5fb0", "#b08a1e", "#4aa3b5", "#c2528b", "#6b7480")
PLOT_WIDTH, PLOT_HEIGHT = 470.0, 230.0
MOST_DOTS = 40  # a line with more points is drawn without a dot at each


def curve(
    series: Mapping[str, Sequence[float]],
    *,
    title: str = "",
    xlabel: str = "",
    ylabel: str = "",
    x: Sequence[float] | None = None,
) -> Curve:
    """A line for each name in `series`; its values stand at `x` (by default 1, 2, 3, …, in steps of one).

    A value that is not finite leaves a gap. ValueError without any finite value, or where a series is longer than `x`.

    >>> picture = minipar.viz.curve({"loss": [3.0, 2.0, 1.5]}, xlabel="epoch")
    >>> picture.svg().startswith("<svg")
    True
    """
    lines = {name: [float(value) for value in values] for name, values in series.items()}
    if not any(math.isfinite(value) for values in lines.values() for value in values):
        raise ValueError("curve needs at least one series with a finite value")
    longest = max(map(len, lines.values()))
    at = [float(place) for place in (range(1, longest + 1) if x is None else x)]
    if longest > len(at):
        raise ValueError(f"curve: a series has {longest} values, but x only {len(at)}")
    if not all(math.isfinite(place) for place in at):
        raise ValueError("curve: x must be finite")
    return Curve(lines, at, title, xlabel, ylabel)


class Curve(Picture):
    """What `curve` returns.

    >>> minipar.viz.curve({"loss": [3.0, 2.0]}, title="learning").title
    'learning'
    """

    def __init__(self, series: dict[str, list[float]], x: list[float], title: str, xlabel: str, ylabel: str) -> None:
        self.series, self.x, self.title, self.xlabel, self.ylabel = series, x, title, xlabel, ylabel

    def __repr__(self) -> str:
        lines = [self.title] if self.title else []
        width = max(map(len, self.series))
        for name, values in self.series.items():
            span = f"{short(values[0], 4)} → {short(values[-1], 4)} ({len(values)} points)" if values else "no points"
            lines.append(f"{name:{width}}  {span}")
        return "\n".join(lines)

    def svg(self) -> str:
        shown = [value for values in self.series.values() for value in values if math.isfinite(value)]
        low, high = min(shown), max(shown)
        rows = ticks(0.0 if 0 < low <= high / 2 else low, high)  # from zero, unless that would flatten the line
        columns = _whole(ticks(min(self.x), max(self.x), 8), self.x)
        labels = [_label(row, rows) for row in rows]
        left = 16 + max(text_width(label, 11) for label in labels) + (18 if self.ylabel else 0)
        top = 42.0 if self.title else 18.0
        low_x, high_x = min(self.x), max(self.x)
        reach = (high_x - low_x) or 1.0

        def across(place: float) -> float:
            return left + PLOT_WIDTH * (place - low_x + (0.5 if high_x == low_x else 0.0)) / reach

        def down(value: float) -> float:
            return top + PLOT_HEIGHT * (rows[-1] - value) / (rows[-1] - rows[0])

        parts = [text(left, 25, self.title, font_size=14, font_weight=600)] if self.title else []
        for row, label in zip(rows, labels):
            parts.append(element("path", d=f"M{left:g} {down(row):.1f}h{PLOT_WIDTH:g}", stroke=FAINT))
            parts.append(text(left - 8, down(row) + 4, label, text_anchor="end", fill=MUTED, font_size=11))
        bottom = top + PLOT_HEIGHT
        for column in columns:
            parts.append(element("path", d=f"M{across(column):.1f} {bottom:g}v5", stroke=MUTED))
            label = _label(column, columns)
            parts.append(text(across(column), bottom + 19, label, text_anchor="middle", fill=MUTED, font_size=11))
        parts.append(element("path", d=f"M{left:g} {bottom:g}h{PLOT_WIDTH:g}", stroke=MUTED))
        parts += self._axis_labels(left, top, bottom)
        for colour, values in zip(_cycle(), self.series.values()):
            parts.append(_line([(across(place), down(value)) for place, value in zip(self.x, values)], colour))
        legend, width = self._legend(left + PLOT_WIDTH + 22, top + 10)
        height = bottom + (44 if self.xlabel else 30)
        label = self.title or "line chart of " + ", ".join(self.series)
        width = max(left + PLOT_WIDTH + 22 + width, left + text_width(self.title, 14, bold=True) + 16)
        return document(width, max(height, top + 20 * len(self.series) + 10), parts + legend, label)

    def _axis_labels(self, left: float, top: float, bottom: float) -> list[str]:
        parts = []
        if self.xlabel:
            middle = left + PLOT_WIDTH / 2
            parts.append(text(middle, bottom + 36, self.xlabel, text_anchor="middle", fill=MUTED))
        if self.ylabel:
            turn = f"translate(18 {(top + bottom) / 2:g}) rotate(-90)"
            parts.append(text(0, 0, self.ylabel, text_anchor="middle", fill=MUTED, transform=turn))
        return parts

    def _legend(self, x: float, y: float) -> tuple[list[str], float]:
        parts = []
        for i, (colour, name) in enumerate(zip(_cycle(), self.series)):
            parts.append(element("path", d=f"M{x:g} {y + 20 * i:g}h18", stroke=colour, stroke_width=2.4))
            parts.append(text(x + 25, y + 4 + 20 * i, name))
        return parts, 25 + max(map(text_width, self.series)) + 12


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten apart), the first not above `low`, the last not below `high`."""
    if low == high:
        low, high = (low - 0.5 * abs(low), high + 0.5 * abs(high)) if low else (-1.0, 1.0)
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * i for i in range(first, last + 1)]


def _whole(marks: list[float], x: list[float]) -> list[float]:
    """The marks inside the range of x; whole numbers only, where x has no others."""
    inside = [mark for mark in marks if min(x) - 1e-9 <= mark <= max(x) + 1e-9]
    if all(place == round(place) for place in x):
        inside = [mark for mark in inside if abs(mark - round(mark)) < 1e-9]
    return inside or [min(x)]


def _label(value: float, marks: list[float]) -> str:
    step = marks[1] - marks[0] if len(marks) > 1 else 1.0
    largest = max(abs(mark) for mark in marks)
    if largest >= 1e5 or step < 1e-4:
        return short(value + 0.0 if abs(value) > step / 2 else 0.0)
    return f"{value + 0.0:.{max(0, -math.floor(math.log10(step) + 1e-9))}f}"


def _cycle() -> list[str]:
    return list(COLOURS)


def _line(points: list[tuple[float, float]], colour: str) -> str:
    """The pieces between gaps; dots where there are few points, and where a point stands alone."""
    parts = []
    path, pen = [], "M"
    for x, y in points:
        path.append(f"{pen}{x:.1f} {y:.1f}" if math.isfinite(y) else "")
        pen = "L" if math.isfinite(y) else "M"
    parts.append(element("path", d="".join(path), fill="none", stroke=colour, stroke_width=2, stroke_linejoin="round"))
    if len(points) <= MOST_DOTS:
        for x, y in points:
            if math.isfinite(y):
                parts.append(element("circle", cx=x, cy=y, r=3.2, fill=colour, stroke=PAPER))
    return "".join(parts)

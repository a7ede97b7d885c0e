"""Line charts: the numbers are where the axes say, and gaps stay gaps."""

import math
import re
import xml.etree.ElementTree as ElementTree

import pytest

from minipar.viz import curve
from minipar.viz.curve import ticks

SVG = "{http://www.w3.org/2000/svg}"


def dots(picture):
    """The dots of the picture, from left to right within each series."""
    root = ElementTree.fromstring(picture.svg())
    return [(float(c.get("cx")), float(c.get("cy"))) for c in root.iter(SVG + "circle")]


def axis(picture, side):
    """Value and place of every label on the left ("end") or lower ("middle") axis."""
    root = ElementTree.fromstring(picture.svg())
    key = "y" if side == "end" else "x"
    found = [(t.text, float(t.get(key))) for t in root.iter(SVG + "text") if t.get("text-anchor") == side]
    return [(float(label), place) for label, place in found if re.fullmatch(r"-?[\d.e+-]+", label)]


@pytest.mark.parametrize(
    "values", [[2.3, 1.1, 0.4, 0.2], [5.0], [3.0, 3.0], [-4e-7, 2e-7], [1e6, 3e6], [0.0, 0.0], [101.0, 104.5]]
)
def test_points_stand_where_the_axis_says(values):
    picture = curve({"a": values})
    labels = axis(picture, "end")
    (low, y_low), (high, y_high) = labels[0], labels[-1]
    assert low <= min(values)
    assert max(values) <= high
    for value, (_, y) in zip(values, dots(picture)):
        baseline = y + 4  # labels stand 4 pixels below their line
        at = low + (baseline - y_low) / (y_high - y_low) * (high - low)
        assert at == pytest.approx(value, abs=0.01 * (high - low))


def test_the_axis_starts_at_zero_unless_that_would_flatten_the_line():
    assert axis(curve({"loss": [2.0, 0.9]}), "end")[0][0] == 0.0
    assert axis(curve({"loss": [2.0, 1.9]}), "end")[0][0] > 1.5


def test_horizontal_places_are_those_given():
    picture = curve({"measured": [1.0, 1.6, 2.2]}, x=[1, 2, 8])
    (left, x1), *_, (right, x8) = axis(picture, "middle")
    assert (left, right) == (1, 8)
    places = [left + (x - x1) / (x8 - x1) * (right - left) for x, _ in dots(picture)]
    assert places == pytest.approx([1, 2, 8], abs=0.05)


def test_epochs_count_from_one_and_in_whole_numbers():
    assert [label for label, _ in axis(curve({"loss": [3.0, 2.0, 1.0]}), "middle")] == [1, 2, 3]


def test_not_finite_values_leave_a_gap():
    picture = curve({"loss": [1.0, math.nan, 2.0, 3.0, math.inf]})
    assert len(dots(picture)) == 3
    paths = [
        p.get("d") for p in ElementTree.fromstring(picture.svg()).iter(SVG + "path") if p.get("stroke-width") == "2"
    ]
    assert [path.count("M") for path in paths] == [2]
    assert "nan" not in picture.svg()


def test_many_points_are_drawn_without_dots():
    assert dots(curve({"loss": [1.0 / (i + 1) for i in range(500)]})) == []


def test_legend_title_and_labels_are_written_and_escaped():
    picture = curve({"train & test": [1.0, 2.0]}, title="loss < 2", xlabel="epoch", ylabel="nats")
    written = {(t.text or "").replace("\u00a0", " ") for t in ElementTree.fromstring(picture.svg()).iter(SVG + "text")}
    assert {"train & test", "loss < 2", "epoch", "nats"} <= written


def test_repr_tells_where_each_line_goes():
    assert repr(curve({"train": [2.0, 0.5], "test": []}, title="digits")) == (
        "digits\ntrain  2 → 0.5 (2 points)\ntest   no points"
    )


@pytest.mark.parametrize("series", [{}, {"a": []}, {"a": [math.nan]}])
def test_nothing_to_draw_is_an_error(series):
    with pytest.raises(ValueError, match="finite value"):
        curve(series)


def test_x_must_be_long_enough_and_finite():
    with pytest.raises(ValueError, match="3 values, but x only 2"):
        curve({"a": [1, 2, 3]}, x=[1, 2])
    with pytest.raises(ValueError, match="x must be finite"):
        curve({"a": [1, 2]}, x=[1, math.nan])


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.0, 1.0, [0, 0.2, 0.4, 0.6, 0.8, 1.0]), (0.13, 2.4, [0, 0.5, 1, 1.5, 2, 2.5]), (-3, 12, [-5, 0, 5, 10, 15])],
)
def test_ticks_are_round_numbers_around_the_data(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)

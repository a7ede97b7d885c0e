"""The graph: what it says about the tape, and that its picture is well-formed and tidy."""

import gc
import itertools
import math
import time
import weakref
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

import minipar as torch
import minipar.nn as nn
from minipar import tape
from minipar.viz import Trace, graph

SVG = "{http://www.w3.org/2000/svg}"


def titles(picture):
    return [box.title for box in picture.boxes]


def box(picture, title):
    return next(b for b in picture.boxes if b.title == title)


def words(picture):
    """Everything that is written in the picture, with its no-break spaces as spaces."""
    root = ElementTree.fromstring(picture.svg())
    return [(e.text or "").replace("\u00a0", " ") for e in root.iter(SVG + "text")]


@pytest.fixture
def expression():
    """y = tanh(a b + a) with a used twice; values and gradients known by hand."""
    a = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    b = torch.tensor(-3.0, dtype=torch.float64, requires_grad=True)
    with Trace() as trace:
        y = torch.tanh(a * b + a)
    y.backward()
    return a, b, y, trace


def test_values_and_gradients_of_every_node(expression):
    a, b, y, trace = expression
    picture = graph(y, trace, {"a": a, "b": b, "y": y})
    assert titles(picture) == ["y = Tanh", "Add", "a", "Mul", "b"]
    slope = 1 - math.tanh(-1.0) ** 2
    expected = {
        "y = Tanh": (math.tanh(-1.0), 1.0),
        "Add": (-1.0, slope),
        "Mul": (-1.5, slope),
        "a": (0.5, slope * (-3.0 + 1.0)),
        "b": (-3.0, slope * 0.5),
    }
    for title, (value, gradient) in expected.items():
        assert box(picture, title).values[0] == pytest.approx(value)
        assert box(picture, title).grads[0] == pytest.approx(gradient)


def test_edges_follow_the_tape(expression):
    a, b, y, trace = expression
    picture = graph(y, trace, {"a": a, "b": b})
    sources = {b.title: [picture.boxes[i].title for i in b.inputs] for b in picture.boxes}
    assert sources == {"Tanh": ["Add"], "Add": ["Mul", "a"], "Mul": ["a", "b"], "a": [], "b": []}


def test_without_a_trace_the_tape_still_tells_operations_and_leaves(expression):
    a, b, y, _ = expression
    picture = graph(y, names={"a": a, "b": b})
    assert titles(picture) == ["Tanh", "Add", "a", "Mul", "b"]
    assert box(picture, "a").values[0] == 0.5
    assert box(picture, "Tanh").values[0] == pytest.approx(math.tanh(-1.0)), "the result itself is known"
    assert box(picture, "Mul").values == []


def test_text_tree_names_a_shared_value_once(expression):
    a, b, y, trace = expression
    assert repr(graph(y, trace, {"a": a, "b": b})) == "\n".join(
        [
            "Tanh ()  = -0.762  grad 1",
            "└─ Add ()  = -1  grad 0.42",
            "   ├─ Mul ()  = -1.5  grad 0.42",
            "   │  ├─ #1 a ()  = 0.5  grad -0.84",
            "   │  └─ b ()  = -3  grad 0.21",
            "   └─ a  (#1 above)",
        ]
    )


def test_constants_and_untracked_inputs_are_drawn_with_a_trace():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    x = torch.tensor([3.0, 4.0])
    with Trace() as trace:
        y = (w * x + 1.5).sum()
    picture = graph(y, trace, {"w": w, "x": x})
    kinds = {b.title: b.kind for b in picture.boxes}
    assert kinds == {"Sum": "operation", "Add": "operation", "Mul": "operation"} | {
        "constant": "constant",
        "w": "leaf",
        "x": "constant",
    }
    assert box(picture, "constant").values[0] == 1.5


def test_a_trace_keeps_the_values_of_its_own_time():
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    with Trace() as trace:
        y = w * 2.0
        z = y.sum()
    z.backward()
    with torch.no_grad():
        w.sub_(w.grad)
        y.zero_()
    picture = graph(z, trace, {"w": w, "y": y})
    assert box(picture, "w").values[0].tolist() == [1.0, 2.0]
    assert box(picture, "y = Mul").values[0].tolist() == [2.0, 4.0]


def test_an_in_place_change_does_not_bend_the_edges():
    x = torch.tensor([1.0, -2.0], requires_grad=True)
    with Trace() as trace:
        y = x * 3.0
        y.add_(1.0)
        z = y.sum()
    z.backward()
    picture = graph(z, trace, {"x": x})
    assert [b.title for b in picture.boxes if b.kind == "operation"] == ["Sum", "Add", "Mul"]
    assert box(picture, "Add").grads[0].tolist() == [1.0, 1.0]
    assert box(picture, "Mul").values[0].tolist() == [3.0, -6.0]
    assert box(picture, "Mul").grads[0].tolist() == [1.0, 1.0]
    assert picture.boxes[box(picture, "Add").inputs[0]].title == "Mul"


def test_gradients_of_several_backward_passes_add_up():
    x = torch.tensor(3.0, requires_grad=True)
    with Trace() as trace:
        y = x * x
        z = y + 1.0
    z.backward(retain_graph=True)
    z.backward()
    picture = graph(z, trace, {"x": x})
    assert (box(picture, "Mul").grads[0], box(picture, "x").grads[0]) == (2.0, 12.0)
    assert y.grad is None, "watching leaves nothing behind on the tensors themselves"


def test_a_trace_makes_no_reference_cycle():
    x = torch.tensor(3.0, requires_grad=True)
    gc.collect()
    gc.disable()
    try:
        with Trace() as trace:
            y = x * x
        y.backward()
        gone = weakref.ref(y.node), weakref.ref(trace)
        del y, trace
        assert [reference() for reference in gone] == [None, None]
    finally:
        gc.enable()


def test_traces_nest_and_leave_the_hook_as_it_was():
    x = torch.tensor(1.0, requires_grad=True)
    with Trace() as outer:
        x.exp()
        with Trace() as inner:
            x.sin()
        x.cos()
    x.tanh()
    assert tape.mode.watch is None
    assert [node.name() for node in outer.values] == ["Exp", "Sin", "Cos"]
    assert [node.name() for node in inner.values] == ["Sin"]


def test_the_hook_is_restored_after_an_error():
    x = torch.tensor([1.0], requires_grad=True)
    with pytest.raises(RuntimeError), Trace():
        (x.reshape(2, 3)).sum()
    assert tape.mode.watch is None


def test_operations_with_several_outputs_and_of_the_user():
    class Halves(torch.autograd.Function):
        """y, z = x / 2, x / 2"""

        @staticmethod
        def forward(ctx, x):
            return x / 2, x / 2

        @staticmethod
        def backward(ctx, gy, gz):
            return (gy + gz) / 2

    x = torch.tensor([1.0, 3.0], requires_grad=True)
    with Trace() as trace:
        y, z = Halves.apply(x)
        loss = (y + 2.0 * z).sum()
    loss.backward()
    halves = box(graph(loss, trace, {"y": y, "z": z}), "y, z = Halves")
    assert halves.shapes == [(2,), (2,)]
    assert [g.tolist() for g in halves.grads] == [[1.0, 1.0], [2.0, 2.0]]
    assert halves.formula == "y, z = x / 2, x / 2"


def test_names_ignore_what_is_no_tensor_or_hidden():
    a = torch.tensor(1.0, requires_grad=True)
    assert titles(graph(a * a, names={"_1": a, "net": 3, "a": a})) == ["Mul", "a"]


def test_a_leaf_alone_and_a_wrong_argument():
    assert titles(graph(torch.tensor([1.0]))) == ["input"]
    with pytest.raises(TypeError, match="ndarray"):
        graph(np.zeros(3))


def test_everything_written_is_escaped():
    a = torch.tensor(1.0, requires_grad=True)
    picture = graph(a + a, names={'a<b>&"c"': a})
    assert 'a<b>&"c"' in words(picture)


def test_small_tensors_in_full_large_ones_in_words():
    small = torch.tensor([[1.0, -2.5], [0.0, 1000.0]], requires_grad=True)
    assert {"1 -2.5", "0 1000"} <= {line.strip() for line in words(graph(small + 0.0))}
    large = torch.zeros(10, 10, requires_grad=True)
    assert "mean 0, sd 0" in words(graph(large + 1.0))
    large.grad = torch.ones(10, 10)
    assert "norm 10" in words(graph(large + 1.0))


def test_values_that_are_not_finite_are_counted():
    x = torch.full((10, 10), 1.0)
    x[0, 0], x[1, 1] = math.nan, math.inf
    x.requires_grad_()
    picture = graph(x * 1.0)
    assert any("2 not finite" in line for line in words(picture))
    x.grad = torch.full((10, 10), math.nan)
    assert "#e04fd0" in graph(x * 1.0).svg(), "a gradient of NaN stands out"


def test_an_exploded_gradient_stands_out():
    x = torch.ones(10, 10, dtype=torch.float64, requires_grad=True)
    x.grad = torch.full((10, 10), 1e200, dtype=torch.float64)
    picture = graph(x * 1.0)
    assert "norm inf" in words(picture)
    assert "#e04fd0" in picture.svg()


def chain(length):
    x = torch.tensor(0.5, requires_grad=True)
    y = x
    for _ in range(length):
        y = y.tanh()
    return y


def test_a_long_history_is_folded_and_counted():
    picture = graph(chain(3000))
    assert len(picture.boxes) == 200
    assert box(picture, "… 2801 older operations and 1 leaf").kind == "folded"
    assert repr(picture).count("\n") == 199
    ElementTree.fromstring(picture.svg())


def test_folding_begins_only_where_it_must():
    assert [b.kind for b in graph(chain(199)).boxes].count("folded") == 0
    assert [b.kind for b in graph(chain(200)).boxes].count("folded") == 1


def boxes_drawn(picture):
    """(x, y, width, height) of every card."""
    found = []
    for group in ElementTree.fromstring(picture.svg()).iter(SVG + "g"):
        rect = group.find(SVG + "rect")
        if rect is not None and group.find(SVG + "title") is not None:
            x, y = map(float, group.get("transform")[len("translate(") : -1].split())
            found.append((x, y, float(rect.get("width")), float(rect.get("height"))))
    return found


def deep_net():
    net = nn.Sequential(*[layer for _ in range(4) for layer in (nn.Linear(8, 8), nn.Tanh())])
    return (net(torch.ones(3, 8)) ** 2).mean()


def shared_weight():
    w = torch.eye(3, requires_grad=True)
    h = torch.ones(2, 3)
    for _ in range(6):
        h = torch.tanh(h @ w) + h
    return h.sum()


@pytest.mark.parametrize("made", [deep_net, shared_weight, lambda: chain(5), lambda: chain(60)])
def test_no_two_boxes_overlap_and_all_are_inside(made):
    picture = graph(made())
    cards = boxes_drawn(picture)
    assert len(cards) == len(picture.boxes)
    for (x1, y1, w1, h1), (x2, y2, w2, h2) in itertools.combinations(cards, 2):
        assert x1 + w1 <= x2 or x2 + w2 <= x1 or y1 + h1 <= y2 or y2 + h2 <= y1
    root = ElementTree.fromstring(picture.svg())
    width, height = float(root.get("width")), float(root.get("height"))
    assert all(x >= 0 and y >= 0 and x + w <= width and y + h <= height for x, y, w, h in cards)


def test_short_histories_go_right_and_long_ones_down():
    for length, is_wide in ((4, True), (40, False)):
        root = ElementTree.fromstring(graph(chain(length)).svg())
        assert (float(root.get("width")) > float(root.get("height"))) == is_wide
        assert float(root.get("width")) < 1200


def test_arrows_into_one_box_do_not_cross_on_arrival():
    """They enter in the order in which their sources stand."""
    a, b, c = (torch.tensor([float(i)], requires_grad=True) for i in range(3))
    picture = graph(torch.cat([a, b, c]))
    root = ElementTree.fromstring(picture.svg())
    path = next(p.get("d") for p in root.iter(SVG + "path") if p.get("stroke-width") == "1.4")
    sources, targets = [], []
    for curve in path.split("M")[1:]:
        if "C" in curve:
            start, end = curve.split("C")[0], curve.split(" ")
            sources.append(float(start.split()[1]))
            targets.append(float(end[-1]))
    assert len(sources) >= 2
    order = sorted(range(len(sources)), key=sources.__getitem__)
    assert [targets[i] for i in order] == sorted(targets)


def test_save_writes_the_picture(tmp_path, expression):
    picture = graph(expression[2])
    picture.save(tmp_path / "graph.svg")
    assert (tmp_path / "graph.svg").read_text(encoding="utf-8").strip() == picture._repr_svg_()
    with pytest.raises(ValueError, match=r"graph\.png"):
        picture.save(tmp_path / "graph.png")


def test_a_tensor_shows_its_graph_in_a_notebook(expression):
    assert expression[2]._repr_svg_().startswith("<svg")
    assert expression[0]._repr_svg_() is None


def test_two_hundred_boxes_are_quick():
    y = chain(500)
    start = time.perf_counter()
    graph(y).svg()
    assert time.perf_counter() - start < 5.0

"""Draw the pictures of the README into docs/pictures: `python tools/make_pictures.py`.

Every number in them is computed here, by minipar, and checked before it is drawn.
"""

import argparse
from pathlib import Path

import numpy as np

import minipar
import minipar.nn.functional as F
from minipar import parallel
from minipar.viz import Graph, Trace, graph
from minipar.viz.numbers import lines
from minipar.viz.svg import MONO, MUTED, document, element, text

DEFAULT_OUT = Path(__file__).resolve().parents[1] / "docs" / "pictures"
SHADES = ("#2f6fb7", "#d1603d")  # of worker 0 and worker 1
SUM = "#3c9a63"
PLATE = 178.0  # the width of the boxes on the right

# Four rows of two features; one layer; small numbers that a reader can add up.
X = np.array([[1.0, 2.0], [-1.0, 0.0], [0.0, -1.0], [2.0, 1.0]])
Y = np.array([[1.0], [-2.0], [0.0], [2.5]])
W = np.array([[1.0, -1.0]])
B = np.array([0.0])


def step(comm: parallel.Communicator) -> tuple[Graph, np.ndarray, np.ndarray]:
    """One worker's part of a training step: its graph, its gradient of the weight, and the sum of everybody's."""
    share = len(X) // comm.size
    rows = slice(comm.rank * share, (comm.rank + 1) * share)
    x, y = minipar.tensor(X[rows]), minipar.tensor(Y[rows])
    weight, bias = minipar.tensor(W, requires_grad=True), minipar.tensor(B, requires_grad=True)
    with Trace() as trace:
        loss = F.mse_loss(F.linear(x, weight, bias), y, reduction="sum")
    loss.backward(minipar.tensor(1 / len(X), dtype=minipar.float64))  # the mean over all rows of the batch
    picture = graph(loss, trace, {"x": x, "y": y, "weight": weight, "bias": bias})
    own = weight.grad.numpy().copy()
    return picture, own, comm.all_reduce(own.copy())


def overview() -> str:
    """A training step on two workers, beside the same step on one."""
    (first, own0, total), (second, own1, total1) = parallel.launch(step, workers=2)
    ((_, whole, _),) = parallel.launch(step, workers=1)
    assert np.array_equal(total, total1)
    assert np.allclose(total, own0 + own1, rtol=0, atol=1e-12)
    assert np.allclose(total, whole, rtol=0, atol=1e-12)

    left, top, gap = 118.0, 40.0, 38.0
    pictures = [first.svg(legend=False), second.svg(legend=False)]
    width, height = (max(_size(picture)[i] for picture in pictures) for i in (0, 1))
    tops = [top, top + height + gap]
    right = left + width + 44
    parts = [_batch(tops, height)]
    for rank, (picture, y) in enumerate(zip(pictures, tops)):
        frame = {"x": left, "y": y, "width": width, "height": height, "rx": 10, "fill": "none", "stroke_width": 1.6}
        title = f"worker {rank}: rows {2 * rank} and {2 * rank + 1}"
        parts.append(_nested(picture, left, y))
        parts.append(element("rect", **frame, stroke=SHADES[rank]))
        parts.append(text(left + 4, y - 9, title, font_weight=600, fill=SHADES[rank]))
    parts.append(_all_reduce(right, left + width, tops, height, (own0, own1, total)))
    return document(right + PLATE + 18, tops[1] + height + 18, parts, "One training step on two workers")


def _size(svg: str) -> tuple[float, float]:
    head = svg.partition(">")[0]
    width, height = (float(head.split(f' {name}="')[1].split('"')[0]) for name in ("width", "height"))
    return width, height


def _nested(svg: str, x: float, y: float) -> str:
    """A picture as a part of another one, with its upper left corner at (x, y)."""
    return svg.replace("<svg", f'<svg x="{x:g}" y="{y:g}"', 1)


def _batch(tops: list[float], height: float) -> str:
    """The four rows of the batch, on their way to the workers."""
    middle = (tops[0] + tops[1] + height) / 2
    parts = [text(18, middle - 56, "one batch", font_weight=600)]
    for row in range(4):
        shade = SHADES[row // 2]
        for column in range(3):
            place = {"x": 18 + 20 * column + (4 if column == 2 else 0), "y": middle - 42 + 21 * row}
            opacity = 0.85 if column < 2 else 0.45
            parts.append(element("rect", **place, width=17, height=17, rx=3, fill=shade, fill_opacity=opacity))
    for rank, start in enumerate((middle - 24, middle + 18)):
        end = tops[rank] + height / 2
        parts.append(_flow(84, start, 111, end, SHADES[rank]))
    return "".join(parts)


def _all_reduce(x: float, edge: float, tops: list[float], height: float, grads: tuple[np.ndarray, ...]) -> str:
    """The two gradients of the weight meet; their sum goes back to both, and is that of the whole batch."""
    own0, own1, total = (lines(grad)[0] for grad in grads)
    centres = [place + height / 2 for place in tops]
    middle = sum(centres) / 2
    parts = []
    for rank, (own, centre) in enumerate(zip((own0, own1), centres)):
        up = -1 if rank == 0 else 1
        place = centre + up * 22
        parts.append(_flow(edge + 4, place, x - 6, place, SHADES[rank]))
        parts.append(_plate(x, place - 24, [f"weight.grad, worker {rank}", own], SHADES[rank]))
        parts.append(_flow(x + PLATE / 2, place - up * 26, x + PLATE / 2, middle + up * 42, SHADES[rank]))
        parts.append(_flow(x - 3, middle + up * 14, edge + 8, centre - up * 24, SUM))
    parts.append(_plate(x, middle - 34, ["all-reduce: the sum", total, "= one process, all rows"], SUM))
    return "".join(parts)


def _plate(x: float, y: float, words: list[str], shade: str) -> str:
    """A title, numbers, and perhaps a remark."""
    title, numbers, *remark = words
    height = 48 + 20 * len(remark)
    parts = [
        element("rect", x=x, y=y, width=PLATE, height=height, rx=7, fill="#ffffff", stroke=shade, stroke_width=1.6),
        text(x + 10, y + 19, title, font_weight=600, fill=shade),
        text(x + 10, y + 37, numbers, font_family=MONO, font_size=12),
    ]
    return "".join(parts + [text(x + 10, y + 57, line, fill=MUTED, font_size=11) for line in remark])


def _flow(x1: float, y1: float, x2: float, y2: float, shade: str) -> str:
    """An arrow that leaves and arrives straight on: horizontally, or vertically if it goes straight up or down."""
    if x1 == x2:
        dx, dy = 0, 1 if y2 > y1 else -1
        path = f"V{y2:.1f}"
    else:
        dx, dy = 1 if x2 > x1 else -1, 0
        middle = (x1 + x2) / 2
        path = f"C{middle:.1f} {y1:.1f} {middle:.1f} {y2:.1f} {x2:.1f} {y2:.1f}"
    corners = [(x2 - 3 * dx - 4.5 * dy, y2 - 3 * dy + 4.5 * dx), (x2 + 5 * dx, y2 + 5 * dy)]
    corners.append((x2 - 3 * dx + 4.5 * dy, y2 - 3 * dy - 4.5 * dx))
    head = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners) + "z"
    line = element("path", d=f"M{x1:.1f} {y1:.1f}{path}", fill="none", stroke=shade, stroke_width=1.8)
    return line + element("path", d=head, fill=shade)


PICTURES = {"overview.svg": overview}


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the pictures of the README.")
    parser.add_argument("--out", type=Path, default=DEFAULT_OUT, help="the folder to write to (default: docs/pictures)")
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        (out / name).write_text(draw() + "\n", encoding="utf-8")
        print(out / name)


if __name__ == "__main__":
    main()

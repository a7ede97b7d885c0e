"""The ratios as a picture, by matplotlib (an optional package): a group of bars a workload, on a logarithmic scale."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from .bars import BARS
from .report import Results
from .summary import ratio

MISSING = "--plot needs matplotlib, which is not installed (pip install matplotlib)"


def why_not() -> str:
    """Why nothing can be plotted here, in a line; "" if it can."""
    return "" if find_spec("matplotlib") else MISSING


def plot(results: Results, path: Path) -> None:
    """Write the picture (the format follows the name: .svg, .png, .pdf): each contender's time divided by minipar's.

    Above the line at 1 minipar is faster. The black ticks are the bars: solid against torch, dotted against the best
    of all peers.
    """
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "minipar"  # the same numbers make the same file
    from matplotlib import pyplot

    names = list(dict.fromkeys(row.contender for rows in results.values() for row in rows[1:]))
    colours = pyplot.get_cmap("tab20")
    figure, axes = pyplot.subplots(figsize=(max(6.0, 1.6 * len(results)), 4.5), layout="constrained")
    width = 0.85 / max(1, len(names))
    labelled = set()
    for place, (workload, rows) in enumerate(results.items()):
        found = {row.contender: ratio(row, rows[0]) for row in rows[1:] if not row.error}
        for i, name in enumerate(names):
            compared = found.get(name)
            if compared:
                label = None if name in labelled else name
                labelled.add(name)
                across = place - 0.425 + (i + 0.5) * width
                axes.bar(across, compared.median - 1, width, bottom=1, color=colours(i % 20), label=label)
        bar = BARS[workload]
        axes.hlines(bar.torch, place - 0.45, place + 0.45, colors="black", linewidth=1.5)
        axes.hlines(bar.best, place - 0.45, place + 0.45, colors="black", linewidth=1.5, linestyles="dotted")
    axes.set_yscale("log")
    axes.axhline(1, color="grey", linewidth=0.8)
    axes.set_xticks(range(len(results)), list(results))
    axes.set_ylabel("time of a step ÷ minipar's")
    axes.set_title("bars: solid against torch, dotted against the best peer", fontsize="small")
    if labelled:
        axes.legend(fontsize="x-small", ncols=2)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)

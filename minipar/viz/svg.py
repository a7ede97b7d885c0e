"""The few SVG elements that the pictures are made of, and what every picture can do."""

from __future__ import annotations

import os
from html import escape
from pathlib import Path
from typing import Any

INK, MUTED, FAINT, PAPER = "#1f2733", "#66717f", "#d9dee5", "#ffffff"
SANS = "system-ui, Segoe UI, DejaVu Sans, Arial, sans-serif"
MONO = "DejaVu Sans Mono, Menlo, Consolas, monospace"


class Picture:
    """Something that draws itself: shown by a notebook, written to a file with `save`."""

    def svg(self) -> str:
        """The whole picture as one `<svg>` element."""
        raise NotImplementedError

    def _repr_svg_(self) -> str:
        return self.svg()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture to an .svg file (UTF-8). ValueError for another kind of file."""
        target = Path(path)
        if target.suffix != ".svg":
            raise ValueError(f"save writes SVG, so the file must be named ….svg, not {target.name!r}")
        target.write_text(self.svg() + "\n", encoding="utf-8")


def element(name: str, content: str | None = None, **attributes: Any) -> str:
    """`<name attribute="value">content</name>`; `content` is markup. `stroke_width` becomes stroke-width."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(number(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return f"<{name}{written}/>" if content is None else f"<{name}{written}>{content}</{name}>"


def text(x: float, y: float, words: str, **attributes: Any) -> str:
    """Words with their baseline at (x, y). Runs of spaces are kept: numbers stay in their columns."""
    return element("text", escape(words, quote=False).replace(" ", "\u00a0"), x=x, y=y, **attributes)


def document(width: float, height: float, parts: list[str], label: str) -> str:
    """The parts on white paper with round corners; `label` says to a screen reader what is shown."""
    paper = element("rect", width=width, height=height, rx=10, fill=PAPER)
    return element(
        "svg",
        "\n".join([element("title", escape(label, quote=False)), paper, *parts]),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {number(width)} {number(height)}",
        width=width,
        height=height,
        font_family=SANS,
        font_size=12,
        fill=INK,
        role="img",
    )


def text_width(words: str, size: float = 12, bold: bool = False) -> float:
    """About how wide the words are, in the widest of the fonts that a reader may have."""
    return len(words) * size * (0.66 if bold else 0.615)


def number(value: Any) -> str:
    """A coordinate with no more digits than a screen can show."""
    return f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)

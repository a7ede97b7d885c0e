"""The progress bar of a `map`, drawn by the caller."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..ranks.output import Screen

_DELAY = 0.5  # seconds that must pass before a bar appears which nobody has asked for


class NoBar:
    """Where none is wanted."""

    def update(self) -> None: ...

    def close(self) -> None: ...


def bar(total: int, progress: bool | None, screen: Screen | None) -> Any:
    """An object with `update()`, one job has come to its end, and `close()`.

    `screen` shows what the workers print, if somebody does: the bar gets out of its way.
    """
    if not (progress or (progress is None and (_is_terminal() or "ipykernel" in sys.modules))):
        return NoBar()
    from tqdm import tqdm

    file: Any = sys.stderr if screen is None else OnScreen(screen)
    return tqdm(total=total, unit="job", file=file, dynamic_ncols=True, delay=0 if progress else _DELAY)


class OnScreen:
    """The caller's stderr as tqdm wants it: a bar that stands there is known, as one of a worker would be."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    def write(self, text: str) -> None:
        self._screen.show("stderr", text, is_bar=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(sys.stderr, name)


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()

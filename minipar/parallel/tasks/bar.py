"""The progress bar of a `map`, drawn by the caller."""

from __future__ import annotations

import sys
from typing import Any

_DELAY = 0.5  # seconds that must pass before a bar appears which nobody has asked for


class NoBar:
    """Where none is wanted."""

    def update(self) -> None: ...

    def close(self) -> None: ...


def bar(total: int, progress: bool | None) -> Any:
    """An object with `update()`, one job has come to its end, and `close()`."""
    if not (progress or (progress is None and (_is_terminal() or "ipykernel" in sys.modules))):
        return NoBar()
    from tqdm import tqdm

    return tqdm(total=total, unit="job", file=sys.stderr, delay=0 if progress else _DELAY)


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()

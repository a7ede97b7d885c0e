"""What rank 0 of a training shows, as if there were no ranks."""

from __future__ import annotations

from contextlib import suppress

from ..parallel.ranks.output import Screen
from . import output


class PlainScreen(Screen):
    """Lines without a rank. A closed pipe or a full disk ends the table, not the training."""

    def prefix(self, rank: int) -> str:
        return ""

    def flush(self, name: str) -> None:
        try:
            super().flush(name)
        except OSError:
            if name == "stdout":
                output.discard()

    def _write(self, name: str, text: str) -> None:
        with suppress(OSError):  # the flush that follows meets it as well
            super()._write(name, text)

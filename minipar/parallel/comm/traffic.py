"""How much a rank has sent to others, message by message."""

from dataclasses import dataclass


@dataclass
class Traffic:
    """Messages from this rank to others, and their bytes (of data, without what a backend adds to them)."""

    messages: int = 0
    bytes: int = 0

    def count(self, nbytes: int) -> None:
        self.messages += 1
        self.bytes += nbytes

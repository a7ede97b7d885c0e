"""Messages that have arrived and wait for their recv, and receives that wait for their message."""

from collections import defaultdict

import numpy as np

Ticket = tuple[int, int, int]  # source, tag, and the how-manieth message of that kind


class Inbox:
    """The n-th recv from a rank with a tag gets the n-th message from it with that tag, whichever comes first."""

    def __init__(self) -> None:
        self._asked: dict[tuple[int, int], int] = defaultdict(int)
        self._arrived: dict[tuple[int, int], int] = defaultdict(int)
        self._taken: dict[tuple[int, int], int] = defaultdict(int)
        self._arrays: dict[Ticket, np.ndarray] = {}

    def put(self, source: int, tag: int, array: np.ndarray) -> None:
        self._arrays[source, tag, self._arrived[source, tag]] = array
        self._arrived[source, tag] += 1

    def ask(self, source: int, tag: int) -> Ticket:
        """The ticket of one recv, in the order of asking."""
        number = self._asked[source, tag]
        self._asked[source, tag] += 1
        return source, tag, number

    def has(self, ticket: Ticket) -> bool:
        return ticket in self._arrays

    def look_at(self, ticket: Ticket) -> np.ndarray:
        """The message, which has arrived and stays."""
        return self._arrays[ticket]

    def take(self, ticket: Ticket) -> np.ndarray:
        source, tag, _ = ticket
        kind = source, tag
        self._taken[kind] += 1
        if self._taken[kind] == self._asked[kind] == self._arrived[kind]:  # nothing is under way: numbers begin anew
            del self._taken[kind], self._asked[kind], self._arrived[kind]
        return self._arrays.pop(ticket)

"""Messages that have arrived and wait for their recv."""

from collections import deque

import numpy as np


class Inbox:
    """Arrays by sender and tag, in the order in which they were sent."""

    def __init__(self) -> None:
        self._queues: dict[tuple[int, int], deque[np.ndarray]] = {}

    def put(self, source: int, tag: int, array: np.ndarray) -> None:
        self._queues.setdefault((source, tag), deque()).append(array)

    def has(self, source: int, tag: int) -> bool:
        return bool(self._queues.get((source, tag)))

    def take(self, source: int, tag: int) -> np.ndarray:
        return self._queues[source, tag].popleft()

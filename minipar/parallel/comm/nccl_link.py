"""A communicator of NCCL's, and the thread that gives it its calls, so that nobody who waits for one is held up by it.

A call of NCCL's returns when the GPU has it, and the GPU carries it out later. But the first of a kind returns only
when the other ranks have come: then they connect, for each algorithm (so for each size of array) and each pair that
sends. NCCL knows no timeout, and CuPy cannot tell it not to block: CuPy's NcclConfig has no `blocking`, and its calls
take "in progress" for an error. NCCL_RUNTIME_CONNECT=0 would connect early what collectives need, but not the pairs.

So the rank's own thread never calls NCCL: a `Link` does, in a thread of its own. The rank waits as it does for
everything, with a timeout, and hearing of ranks that have failed; then it aborts the link, whatever that is doing.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .nccl_gpu import GPU

Post = Callable[[Any, int], None]  # gives NCCL's communicator a call, in a stream

ABORTING = 0.5  # seconds for which a rank waits until NCCL has freed its GPU: who fails is to say so soon
_LEAVING = 1e-3  # seconds; giving NCCL a call takes some hundredths of that, unless it connects
_AHEAD = 64  # calls that the GPU has been given and not completed: at about a thousand CUDA blocks its whole context


class Given:
    """A call that a link was given. It holds its arrays: their memory is not used again while the GPU reads it."""

    def __init__(self, link: Link | None = None, post: Post | None = None, arrays: Any = None) -> None:
        self._link = link
        self.post = post
        self.arrays = arrays
        self.error: BaseException | None = None
        self.reached: Any = None  # the event that this GPU has come to the call; None: the link still connects
        self.done: Any = None  # the event that it is complete; None as long as NCCL has not returned

    def is_reached(self) -> bool:
        """Whether this rank's GPU has come so far that it waits for others."""
        return self.reached is None or self.reached.done

    def leave(self) -> Given:
        """Let the link's thread go first, if that takes no time: what computes on would keep Python to itself."""
        deadline = time.monotonic() + _LEAVING
        while self.done is None and self.error is None and time.monotonic() < deadline:
            os.sched_yield()
        return self

    def is_over(self) -> bool:
        """Whether the call is complete, or has failed (which `check` tells)."""
        return self.error is not None or (self.done is not None and self.done.done)

    def look(self) -> None:
        """Raise what NCCL says went wrong since the call returned."""
        if self._link is not None:
            self._link.look()

    def check(self) -> None:
        """The call is over: let go of its arrays, and raise what NCCL has complained of."""
        self.arrays = None
        if self.error is not None:
            raise self.error


class Link:
    """What `connect` returns (NCCL's communicator), and calls of it in the `stream` of `gpu`, one after the other."""

    def __init__(self, gpu: GPU, connect: Callable[[], Any]) -> None:
        self._gpu = gpu
        self._connect = connect
        self._stream = gpu.stream
        self._comm: Any = None
        self._aborted = False
        self._lock = threading.Lock()  # of `_comm`; held for no call of NCCL's
        self._calls: SimpleQueue[Given | None] = SimpleQueue()
        self._under_way: deque[Given] = deque()
        threading.Thread(target=self._work, name="minipar calls NCCL", daemon=True).start()

    def give(self, post: Post, arrays: Any) -> Given:
        """Have `post(communicator, stream)` called, after what was given before. `arrays` are kept until it is over."""
        given = Given(self, post, arrays)
        self._calls.put(given)
        return given

    def destroy(self) -> Given:
        """End the communicator, in which nothing is under way: over when the other ranks of this machine do so too."""

        def post(_: Any, __: int) -> None:
            comm = self._taken()
            if comm is not None:
                comm.destroy()

        given = self.give(post, ())
        self._calls.put(None)
        return given

    def look(self) -> None:
        """Raise what NCCL says went wrong since a call returned."""
        comm = self._comm
        if comm is not None:
            comm.check_async_error()

    def abort(self) -> threading.Thread:
        """Free the GPU of all calls. In a thread: NCCL may take its time, or never come back."""

        def end() -> None:
            comm = self._taken()
            if comm is not None:
                comm.abort()
            self._calls.put(None)

        self._aborted = True
        thread = threading.Thread(target=end, name="minipar aborts NCCL", daemon=True)
        thread.start()
        return thread

    # -- in the link's thread --------------------------------------------------------------------------------------

    def _taken(self) -> Any:
        """The communicator, for the one that ends it: NCCL does not bear to end it twice."""
        with self._lock:
            comm, self._comm = self._comm, None
            return comm

    def _work(self) -> None:
        comm: Any = None
        failed: BaseException | None = None
        with self._gpu.current():
            try:
                comm = self._connect()
            except BaseException as error:  # told of every call
                failed = error
            with self._lock:
                self._comm = comm
            if self._aborted and (late := self._taken()) is not None:  # while it was being made
                late.abort()
            while (given := self._calls.get()) is not None:
                if failed is not None or self._aborted:
                    given.error = failed or RuntimeError("the call was aborted before NCCL had it")
                else:
                    self._carry_out(given, comm)

    def _carry_out(self, given: Given, comm: Any) -> None:
        try:
            while self._under_way and (len(self._under_way) >= _AHEAD or self._under_way[0].is_over()):
                self._under_way.popleft().done.synchronize()
            given.reached = self._stream.record()
            assert given.post is not None
            given.post(comm, self._stream.ptr)
            given.done = self._stream.record()
            self._under_way.append(given)
        except BaseException as error:  # told by `check`
            given.error = error
        given.post = None  # it knows the arrays, too


def abort_all(links: Iterable[Link]) -> None:
    """Abort them, all at once, and wait a little until they are."""
    deadline = time.monotonic() + ABORTING
    for thread in [link.abort() for link in links]:
        thread.join(max(0.0, deadline - time.monotonic()))

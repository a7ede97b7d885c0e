"""What the caller of `launch` gets when a rank fails: one error, which tells of the first to fail, and of all others.

    rank 1 raised ValueError: boom, while it was running user code after all_reduce #1 float32 (2, 3) sum

    Traceback of rank 1: …

    The other ranks:
      ranks 0, 3: in all_reduce #2 float32 (2, 3) sum, at train.py:40 in step
      rank 2: running user code, at train.py:44 in load

If the first waited in vain for others, their stacks follow: they are the cause.
"""

import pickle
import signal
import time
import traceback
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import cloudpickle

from ..comm.errors import CommunicatorError, CommunicatorTimeout, MismatchError, PeerFailedError
from ..comm.telling import told_once
from . import stacks
from .stacks import Frame

RETURNING = "returning a result that cannot be loaded here"  # what a rank was doing, whose result is at fault
_RAISED = "raised "
_TEXT = 20_000  # characters of a text that travels: of a longer one the beginning and the end
_EXCEPTION = 1 << 20  # bytes of a pickled exception that travels
_ALIKE = "failed in the same way"


@dataclass(frozen=True)
class RankState:
    """What a rank was doing when the first rank failed.

    `doing` is a sentence's end ("in barrier #2"), `place` the line of the user's code ("train.py:40 in step", "" where
    that is not known), `failure` how it failed itself ("raised ValueError: boom"; "" if it did not, or only because
    another had). `stack` is the text of its stack if it did not come to its next communicator call, else "".

    >>> minipar.parallel.RankState(1, "in barrier #2", "train.py:40 in step").told()
    'in barrier #2, at train.py:40 in step'
    """

    rank: int
    doing: str
    place: str = ""
    failure: str = ""
    stack: str = ""

    def told(self) -> str:
        parts = [f"{self.failure}, {self.doing}" if self.failure else self.doing]
        return ", at ".join([*parts, self.place] if self.place else parts)


class WorkerError(RuntimeError):
    """A rank raised, died, hung, or returned something that cannot be sent back.

    `rank` failed first; `doing` says while it did what; `exitcode` is that of a dead worker process (negative: the
    signal that killed it), and None otherwise; `remote_traceback` is the text of its traceback, for a crash or a hang
    that of its stack, "" for another death. The exception itself is `cause` (and `__cause__`) where it can be rebuilt
    in this process, else None. `ranks` says what each of the other ranks was doing: a list of `RankState`.
    """

    def __init__(
        self, failure: "Failure", cause: BaseException | None = None, others: Sequence[RankState] = ()
    ) -> None:
        super().__init__("\n\n".join(_paragraphs(failure, others)))
        self.rank = failure.rank
        self.doing = failure.doing
        self.exitcode = failure.exitcode
        self.remote_traceback = failure.remote_traceback
        self.ranks = list(others)
        self.cause = self.__cause__ = cause
        self._failure = failure

    def __reduce__(self) -> tuple:
        return WorkerError, (replace(self._failure, exception=None), self.cause, self.ranks)


def _paragraphs(failure: "Failure", others: Sequence[RankState]) -> Iterator[str]:
    yield f"rank {failure.rank} {failure.what}{'' if failure.tells_doing else f', while it was {failure.doing}'}"
    if failure.remote_traceback:
        yield f"{'Traceback' if failure.has_raised() else 'Stack'} of rank {failure.rank}:\n{failure.remote_traceback}"
    alike = [replace(state, failure=_ALIKE) if state.failure == failure.what else state for state in others]
    lines = [f"  {ranks}: {told}" for ranks, told in told_once((state.rank, state.told()) for state in alike)]
    if lines:
        yield "\n".join([f"The other rank{'s' if len(others) > 1 else ''}:", *lines])
    stuck = [state for state in others if state.stack and failure.is_timeout]
    for ranks, stack in told_once((state.rank, state.stack) for state in stuck):
        yield f"Stack of {ranks}, stuck (most recent call last):\n{stack}"


@dataclass(frozen=True)
class Failure:
    """How a rank failed, in a form that can be sent to the caller."""

    rank: int
    what: str
    doing: str
    exitcode: int | None = None
    remote_traceback: str = ""
    exception: bytes | BaseException | None = None
    is_consequence: bool = False  # of the failure of another rank
    tells_doing: bool = False  # what it raised says itself what it was doing
    is_timeout: bool = False  # another rank, which is not the one to raise, did not come
    frames: Sequence[Frame] = ()  # of the user's code
    when: float = field(default_factory=time.monotonic)  # one clock for all processes of a machine

    @classmethod
    def of_exception(cls, rank: int, doing: str, error: BaseException) -> "Failure":
        """Never fails itself: of an exception that cannot be described, the type is told."""
        chain = list(_chain(error))
        is_consequence = any(isinstance(link, PeerFailedError) for link in chain)
        is_timeout = any(isinstance(link, CommunicatorTimeout) for link in chain)
        frames: Sequence[Frame] = ()
        try:
            frames = stacks.of_user(stacks.of_traceback(error.__traceback__))
            what, text = _described(error)
        except Exception as trouble:
            what, text = f"{_RAISED}{type(error).__name__}, which cannot be described ({type(trouble).__name__})", ""
        return cls(
            rank, what, doing, remote_traceback=text, exception=error,
            is_consequence=is_consequence, is_timeout=is_timeout, frames=frames,
            tells_doing=isinstance(error, MismatchError | CommunicatorTimeout) or type(error) is CommunicatorError,
        )  # fmt: skip

    @classmethod
    def of_death(cls, rank: int, doing: str, exitcode: int, frames: Sequence[Frame] = ()) -> "Failure":
        """`frames`: where it crashed, if faulthandler could tell."""
        if exitcode >= 0:
            how = f"died with exit code {exitcode}"
        elif exitcode == -signal.SIGKILL:
            how = "was killed by SIGKILL (the system does that when memory runs out)"
        else:
            how = f"was killed by {_signal_name(-exitcode)}"
        return cls(rank, how, doing, exitcode=exitcode).at(stacks.of_user(frames))

    def has_raised(self) -> bool:
        """Whether it raised an exception. Otherwise it died or hung, as seen from outside."""
        return self.what.startswith(_RAISED)

    def hangs(self) -> bool:
        """Whether its process still runs, and does not say what is wrong."""
        return self.exitcode is None and not self.has_raised()

    def at(self, frames: Sequence[Frame]) -> "Failure":
        """This failure, of a rank that stood there."""
        return replace(self, frames=frames, remote_traceback=stacks.text(frames))

    def to_bytes(self) -> bytes:
        """For the caller's process. An exception that cannot be pickled, or is huge, stays here; its text travels."""
        fields = dict(self.__dict__)
        try:
            exception = cloudpickle.dumps(self.exception)
        except Exception:
            exception = b""
        fields["exception"] = exception if 0 < len(exception) <= _EXCEPTION else None
        return pickle.dumps(fields)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Failure":
        return cls(**pickle.loads(data))

    def error(self, others: Sequence[RankState] = ()) -> WorkerError:
        """The error for the caller, with the original exception as its cause where that can be rebuilt."""
        cause = self.exception
        if isinstance(cause, bytes):
            try:
                cause = pickle.loads(cause)
            except Exception:
                cause = None
            if not isinstance(cause, BaseException):  # its class says how it is rebuilt, and may be wrong
                cause = None
        return WorkerError(replace(self, remote_traceback=stacks.with_source(self.remote_traceback)), cause, others)


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"


def _described(error: BaseException) -> tuple[str, str]:
    """What was raised, and the traceback from the user's code on; "" if that has no part in it."""
    place = error.__traceback__
    told = traceback.TracebackException(type(error), error, stacks.from_user(place) or (place and place.tb_next))
    what = _RAISED + "".join(told.format_exception_only()).strip()
    if isinstance(error, CommunicatorError):
        what = what.replace(f"{type(error).__module__}.", "", 1)
    _leave_out_own_lines(told, error)
    is_alone = told.__cause__ is None and (told.__context__ is None or told.__suppress_context__)
    text = "" if is_alone and not told.stack else "".join(told.format()).rstrip()
    return _clipped(what), _clipped(text)


def _leave_out_own_lines(told: traceback.TracebackException, error: BaseException) -> None:
    """Of minipar, unless that is where the trouble is; also of the exceptions that led to this one."""
    links: list[tuple[traceback.TracebackException | None, BaseException | None]] = [(told, error)]
    while links:
        link, raised = links.pop()
        if link is None or raised is None:
            continue
        if not stacks.is_within(raised.__traceback__):
            users = [line for line in link.stack if not Frame(line.filename, 0, line.name).is_own()]
            link.stack = traceback.StackSummary.from_list(users)
        links += [(link.__cause__, raised.__cause__), (link.__context__, raised.__context__)]


def _clipped(text: str) -> str:
    return text if len(text) <= _TEXT else f"{text[: _TEXT // 2]}\n… {len(text)} characters …\n{text[-_TEXT // 2 :]}"


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception, and those during whose handling it was raised; each once, for `raise e from e` makes a circle."""
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def first(failures: Iterable[Failure]) -> Failure:
    """The failure that the caller is told of: the earliest, and no consequence while there is a cause."""
    return min(failures, key=lambda failure: (failure.is_consequence, failure.when))

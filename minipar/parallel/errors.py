"""What the caller of `launch` gets when a rank fails: one error, about the rank that failed first."""

import pickle
import signal
import time
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

import cloudpickle

from .comm.errors import PeerFailedError


class WorkerError(RuntimeError):
    """A rank raised, died, or returned something that cannot be sent back.

    `rank` failed; `doing` says while it did what; `exitcode` is that of a dead worker process (negative: the signal
    that killed it), and None for an exception; `remote_traceback` is the text of its traceback, "" for a death. The
    exception itself is `cause` (and `__cause__`) where it can be rebuilt in this process, else None.
    """

    def __init__(self, failure: "Failure", cause: BaseException | None = None) -> None:
        message = f"rank {failure.rank} {failure.what}, while it was {failure.doing}"
        if failure.remote_traceback:
            message += f"\n\nTraceback of rank {failure.rank}:\n{failure.remote_traceback}"
        super().__init__(message)
        self.rank = failure.rank
        self.doing = failure.doing
        self.exitcode = failure.exitcode
        self.remote_traceback = failure.remote_traceback
        self.cause = self.__cause__ = cause
        self._failure = failure

    def __reduce__(self) -> tuple:
        return WorkerError, (replace(self._failure, exception=None), self.cause)


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
    when: float = field(default_factory=time.monotonic)  # one clock for all processes of a machine

    @classmethod
    def of_exception(cls, rank: int, doing: str, error: BaseException) -> "Failure":
        """Never fails itself: of an exception that cannot be described, the type is told."""
        is_consequence = any(isinstance(link, PeerFailedError) for link in _chain(error))
        try:
            what, text = _described(error)
        except Exception as trouble:
            what, text = f"raised {type(error).__name__}, which cannot be described ({type(trouble).__name__})", ""
        return cls(rank, what, doing, remote_traceback=text, exception=error, is_consequence=is_consequence)

    @classmethod
    def of_death(cls, rank: int, doing: str, exitcode: int) -> "Failure":
        if exitcode >= 0:
            how = f"died with exit code {exitcode}"
        elif exitcode == -signal.SIGKILL:
            how = "was killed by SIGKILL (the system does that when memory runs out)"
        else:
            how = f"was killed by {signal.Signals(-exitcode).name}"
        return cls(rank, how, doing, exitcode=exitcode)

    def to_bytes(self) -> bytes:
        """For the caller's process. An exception that cannot be pickled stays here; its text travels."""
        fields = dict(self.__dict__)
        try:
            fields["exception"] = cloudpickle.dumps(self.exception)
        except Exception:
            fields["exception"] = None
        return pickle.dumps(fields)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Failure":
        return cls(**pickle.loads(data))

    def error(self) -> WorkerError:
        """The error for the caller, with the original exception as its cause where that can be rebuilt."""
        cause = self.exception
        if isinstance(cause, bytes):
            try:
                cause = pickle.loads(cause)
            except Exception:
                cause = None
        return WorkerError(self, cause)


def _described(error: BaseException) -> tuple[str, str]:
    """What was raised, and the traceback, which starts in the user's function: the frame that called it is left out."""
    frames = error.__traceback__.tb_next if error.__traceback__ else None
    what = f"raised {''.join(traceback.format_exception_only(error)).strip()}"
    return what, "".join(traceback.format_exception(type(error), error, frames))


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

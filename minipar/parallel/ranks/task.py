"""A task as it travels to ranks: the function, its arguments, and the settings of the thread that asked for it."""

from collections.abc import Callable
from typing import Any

from ...backend.settings import ThreadSettings
from .captured import LIMIT, captured, warn_of_captured
from .parcel import INLINE, Parcel, pack
from .stacks import from_user


def pack_task(
    call: str, fn: Callable[..., Any], args: tuple, kwargs: dict[str, Any], timeout: float, inline: int = INLINE
) -> Parcel:
    """The tuple (settings, timeout, fn, args, kwargs), packed once for all ranks; `call` is the user's, for messages.

    TypeError for what cannot be sent; a warning if the function itself is large.
    """
    try:
        parcel = pack((ThreadSettings.of_this_thread(), timeout, fn, args, kwargs), inline=inline)
    except OSError:
        raise
    except Exception as error:
        raise TypeError(
            f"{call}: {_what_cannot_travel(fn, args, kwargs)} cannot be sent to other processes: {error}; "
            f"create such objects inside the function, or use backend='thread'"
        ) from (error if from_user(error.__traceback__) else None)
    if parcel.nbytes > LIMIT:
        try:
            warn_of_captured(fn, call)
        except BaseException:
            parcel.close()
            raise
    return parcel


def _what_cannot_travel(fn: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> str:
    """The first argument or variable that cannot be pickled; else the function itself."""
    parts = {f"argument {number}": value for number, value in enumerate(args, 1)}
    parts |= {f"argument {name!r}": value for name, value in kwargs.items()}
    parts |= {f"variable {name!r} of the function": value for name, value in captured(fn).items()}
    for name, value in parts.items():
        try:
            pack(value).close()
        except Exception:
            return f"{name}, of type {type(value).__name__},"
    return f"the function, of type {type(fn).__name__},"

"""A task as it travels to ranks: the function, its arguments, and the settings of the thread that asked for it."""

from collections.abc import Callable
from typing import Any

from ...backend.settings import ThreadSettings
from .captured import LIMIT, warn_of_captured
from .parcel import INLINE, Parcel, pack


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
            f"the function or the arguments of {call} cannot be sent to other processes: {error}; "
            f"create such objects inside the function, or use backend='thread'"
        ) from error
    if parcel.nbytes > LIMIT:
        try:
            warn_of_captured(fn, call)
        except BaseException:
            parcel.close()
            raise
    return parcel

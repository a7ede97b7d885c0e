"""What a communicator raises. After any of these it is of no further use: its ranks are no longer in step."""


class CommunicatorError(RuntimeError):
    """A communicator call that cannot be completed."""


class MismatchError(CommunicatorError):
    """Ranks made different collective calls, or the same call with different shapes, dtypes or options."""


class CommunicatorTimeout(CommunicatorError, TimeoutError):
    """A rank that was waited for did not come in time."""


class PeerFailedError(CommunicatorError):
    """Another rank has failed. This is a consequence, never the cause: the caller of `launch` is told of the cause."""

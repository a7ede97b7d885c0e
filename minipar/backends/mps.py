"""Apple's GPUs (Metal), on which minipar does not run."""

__all__ = ["is_available", "is_built"]


def is_available() -> bool:
    """Can tensors be moved to "mps"? No.

    >>> minipar.backends.mps.is_available()
    False
    """
    return False


def is_built() -> bool:
    """Is there code for "mps"? No.

    >>> minipar.backends.mps.is_built()
    False
    """
    return False

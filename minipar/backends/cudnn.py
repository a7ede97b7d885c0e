"""cuDNN, of which there is none here: GPU kernels are CuPy's and minipar's own.

Scripts set its switches to make training repeatable, or fast. They may: nothing here reads them, as in a PyTorch that
was built without cuDNN.
"""

__all__ = ["is_available", "version"]

enabled = True
benchmark = False
deterministic = False
allow_tf32 = True


def is_available() -> bool:
    """Is there cuDNN? No.

    >>> minipar.backends.cudnn.is_available()
    False
    """
    return False


def version() -> None:
    """Which cuDNN there is: none.

    >>> minipar.backends.cudnn.version() is None
    True
    """

"""What scripts ask before they choose a device, or switch before they train: `backends.cudnn`, `backends.mps`.

minipar has neither; both say so. (The code that runs on CPUs and GPUs is in minipar/backend/ and kernels/.)
"""

from . import cudnn, mps

__all__ = ["cudnn", "mps"]

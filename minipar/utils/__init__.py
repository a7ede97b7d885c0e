"""`torch.utils` under PyTorch's names: `utils.data` is `minipar.data`, `utils.checkpoint` trades time for memory."""

from . import checkpoint, data

__all__ = ["checkpoint", "data"]

"""`torch.utils.checkpoint` under its own name: recomputation, see `autograd/recompute.py`."""

from ..autograd.recompute import CheckpointError, checkpoint, checkpoint_sequential

__all__ = ["CheckpointError", "checkpoint", "checkpoint_sequential"]

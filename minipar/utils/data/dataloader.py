"""`from torch.utils.data.dataloader import DataLoader, default_collate`, as some scripts say."""

from ...data.collate import default_collate
from ...data.loader import DataLoader
from ...data.worker import get_worker_info

__all__ = ["DataLoader", "default_collate", "get_worker_info"]

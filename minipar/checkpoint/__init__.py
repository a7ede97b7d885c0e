"""Checkpoints: what holds tensors, in a safetensors file that is written whole or not at all (`file.py`); how nested
dicts and lists fit into a flat one (`structure.py`)."""

from .file import load, save, write_whole

__all__ = ["load", "save", "write_whole"]

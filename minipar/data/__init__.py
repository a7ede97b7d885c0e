"""Data: datasets, samplers, the loader that makes batches, and the sets that ship in the wheel."""

from .collate import default_collate, default_convert
from .dataset import Dataset, Subset, TensorDataset, random_split
from .loader import DataLoader
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler
from .shipped import NAMES, Series, Table, Text, load

__all__ = [
    "BatchSampler",
    "DataLoader",
    "Dataset",
    "NAMES",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Series",
    "Subset",
    "Table",
    "TensorDataset",
    "Text",
    "default_collate",
    "default_convert",
    "load",
    "random_split",
]

"""Data: the sets that ship in the wheel."""

from minipar.data.shipped import NAMES, Series, Table, Text, load

__all__ = ["load", "NAMES", "Table", "Series", "Text"]

"""Space: the rows of images are split over ranks, with halo exchange."""

from .convert import spatial

__all__ = ["spatial"]

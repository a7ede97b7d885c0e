"""The mesh: ranks in a grid with named axes, and a communicator along each.

Four ranks of `Mesh(comm, data=2, tensor=2)`:

                     tensor ─▶
              data   0   1        ranks 0 and 1 hold the halves of each layer of one copy of the model
                │    2   3        ranks 0 and 2 hold the same half, and work on different samples
                ▼

The axes are, from the slowest to the fastest: data, pipeline, space, tensor. Whoever talks most sits closest together:
tensor ranks talk in every layer, data ranks once a step (Narayanan et al., arXiv 2104.04473, take the same order).
"""

from __future__ import annotations

import math
from typing import Any

from .comm import Communicator

AXES = ("data", "pipeline", "space", "tensor")


class Mesh:
    """The ranks of `comm` as a grid of data × pipeline × space × tensor ranks. Collective: every rank makes it.

    One axis may be -1: whatever the others leave. `mesh.data`, `mesh.pipeline`, `mesh.space` and `mesh.tensor` are the
    communicators of the ranks that differ from this one along that axis alone, and `mesh.replicas` that of the ranks
    that hold the same parameters, along data and space (in this order: its rank is data · size of space + space).

    TypeError for a size that is no int, and for what is no communicator; ValueError if the sizes do not multiply to the
    number of ranks.

    >>> def where(comm):
    ...     mesh = minipar.parallel.Mesh(comm, data=2, tensor=-1)
    ...     return mesh.coordinates["data"], mesh.tensor.rank, mesh.tensor.size
    >>> minipar.parallel.launch(where, workers=4, backend="thread")
    [(0, 0, 2), (0, 1, 2), (1, 0, 2), (1, 1, 2)]
    """

    data: Communicator
    pipeline: Communicator
    space: Communicator
    tensor: Communicator
    replicas: Communicator

    def __init__(self, comm: Communicator, data: int = 1, pipeline: int = 1, space: int = 1, tensor: int = 1) -> None:
        if not isinstance(comm, Communicator):
            raise TypeError(f"comm must be a Communicator, not {type(comm).__name__}")
        self.comm = comm
        self.sizes = _sizes({"data": data, "pipeline": pipeline, "space": space, "tensor": tensor}, comm.size)
        self.coordinates = _coordinates(comm.rank, self.sizes)
        for axis in AXES:
            setattr(self, axis, self._along(axis))
        self.replicas = self._along("data", "space")

    def _along(self, *axes: str) -> Communicator:
        """The communicator of the ranks that differ from this one along `axes` alone."""
        color = 0
        for axis in AXES:
            color = color * self.sizes[axis] + (0 if axis in axes else self.coordinates[axis])
        group = self.comm.split(color)
        assert group is not None
        return group

    def close(self) -> None:
        """Close the communicators of the axes, and with them every model that is laid over the mesh. Collective.

        `comm` stays open. While it waits, a rank gets on with all communicators that are open, and MPI has about 2000:
        who makes meshes one after the other over the same ranks closes each, or writes `with Mesh(…) as mesh:`.

        >>> def sizes(comm):
        ...     found = []
        ...     for axis in "data", "tensor":
        ...         with minipar.parallel.Mesh(comm, **{axis: 2}) as mesh:
        ...             found.append((mesh.data.size, mesh.tensor.size))
        ...     return found
        >>> minipar.parallel.launch(sizes, workers=2, backend="thread")
        [[(2, 1), (1, 2)], [(2, 1), (1, 2)]]
        """
        for group in (*(getattr(self, axis) for axis in AXES), self.replicas):
            group.close()

    def __enter__(self) -> Mesh:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        if kind is None:  # else what is under way may never end: the rank closes all when it ends
            self.close()

    def __repr__(self) -> str:
        sizes = ", ".join(f"{axis}={size}" for axis, size in self.sizes.items() if size > 1)
        return f"Mesh({sizes or 'data=1'})"


def _sizes(sizes: dict[str, Any], ranks: int) -> dict[str, int]:
    for axis, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool):
            raise TypeError(f"{axis} must be an int, not {type(size).__name__}")
        if size < 1 and size != -1:
            raise ValueError(f"{axis} must be 1 or more, or -1 for whatever is left, not {size}")
    open_axes = [axis for axis, size in sizes.items() if size == -1]
    if len(open_axes) > 1:
        raise ValueError(f"only one axis may be -1, got {' and '.join(open_axes)}")
    given = math.prod(size for size in sizes.values() if size != -1)
    if ranks % given or (not open_axes and given != ranks):
        wanted = " × ".join(f"{axis}={size}" for axis, size in sizes.items() if size != 1) or "data=1"
        raise ValueError(f"a mesh of {wanted} does not fit {ranks} ranks: the sizes must multiply to {ranks}")
    return {axis: ranks // given if size == -1 else size for axis, size in sizes.items()}


def _coordinates(rank: int, sizes: dict[str, int]) -> dict[str, int]:
    coordinates = {}
    for axis in reversed(AXES):
        rank, coordinates[axis] = divmod(rank, sizes[axis])
    return {axis: coordinates[axis] for axis in AXES}

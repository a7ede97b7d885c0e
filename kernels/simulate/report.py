"""What a simulated run of a kernel cost in memory transactions, by line of its source."""

from .execute import Ran
from .picture import draw
from .traffic import Count, Traffic

MEMORIES, ACCESSES = ("global", "shared", "constant"), ("load", "store", "atomic")
HEADINGS = ("line", "memory", "access", "requests", "transactions", "a request", "efficiency", "source")


class Report:
    """What ``run`` counted. ``print(report)`` shows it by line of the kernel's source.

    ``name``, ``grid`` and ``block``: the launch; ``barriers``: how many ``cuda.syncthreads()`` its blocks passed, all
    together. ``global_sectors``, ``shared_wavefronts`` and ``bank_conflicts`` are totals; ``count`` gives any part.

    A *request* is one access by the up to 32 threads of a warp together. Its *transactions* are sectors of 32 bytes in
    global memory: a warp that reads 32 neighbouring float32 needs 4, one that reads them from 32 places needs 32. In
    shared memory they are wavefronts: 1, or n where n different 4-byte words of one of the 32 banks are wanted, or one
    is updated atomically by n threads; in constant memory, n where n different words are wanted. The *efficiency* is
    used over moved bytes in global memory, the fewest possible over the counted wavefronts in the others.

    >>> from numba import cuda
    >>> from minipar.kernels import simulate
    >>> def spread(x, y, stride):
    ...     i = cuda.grid(1)
    ...     y[i] = x[i * stride]
    >>> x, y = np.zeros(1024, np.float32), np.zeros(128, np.float32)
    >>> print(simulate.run(spread, 2, 64, x, y, 8))
    spread: 2 blocks of 64 threads, 0 barriers
    line  memory  access  requests  transactions  a request  efficiency  source
       3  global  load           4           128       32.0        12 %  y[i] = x[i * stride]
       3  global  store          4            16        4.0       100 %  y[i] = x[i * stride]
    """

    def __init__(self, ran: Ran, traffic: Traffic):
        self.name, self.grid, self.block, self.barriers, self._lines = ran
        self._traffic = traffic

    def count(self, memory: str | None = None, access: str | None = None, line: int | None = None) -> Count:
        """The sum over one ``memory``, one ``access`` and one ``line``; None: over all of them.

        ``memory``: "global", "shared" or "constant"; ``access``: "load", "store" or "atomic". The sum has ``requests``,
        ``transactions`` (sectors or wavefronts), ``efficiency`` and ``ideal``, the transactions with which it would be
        1. ValueError for another name.
        """
        for given, name, choices in ((memory, "memory", MEMORIES), (access, "access", ACCESSES)):
            if given not in (None, *choices):
                raise ValueError(f"{name} must be one of {choices}, got {given!r}")
        total = Count()
        for kind, count in self._traffic.counts.items():
            if memory in (None, kind.memory) and access in (None, kind.access) and line in (None, kind.line):
                total += count
        return total

    @property
    def global_sectors(self) -> int:
        """The 32-byte sectors moved from and to global memory."""
        return self.count("global").transactions

    @property
    def shared_wavefronts(self) -> int:
        """The steps in which shared memory served its requests."""
        return self.count("shared").transactions

    @property
    def bank_conflicts(self) -> int:
        """The wavefronts of shared memory that are needed only because lanes want several words of one bank, or
        update one word atomically."""
        shared = self.count("shared")
        return shared.transactions - round(shared.ideal)

    def draw(
        self, array: str, access: str = "store", width: int = 16, rows: int = 16, columns: int | None = None
    ) -> str:
        """Which thread touches which element of ``array``, as a grid of text.

        ``array``: the kernel's name of an argument, or of a shared array (that of the first block). ``access``:
        "store", "load" or "atomic". A cell says ``thread``, or ``block:thread`` where there are several blocks, with
        x,y,z where they have several axes; ×n: n different threads; ·: none. A one-dimensional array is shown in lines
        of ``width``; of others each line is one of the last axis. At most ``rows`` lines are shown, and at most
        ``columns`` elements of each; None: 16, or what fits into 100 characters. ValueError if nobody touched an array
        of this name.

        >>> from numba import cuda
        >>> from minipar.kernels import simulate
        >>> def shift(x, y):
        ...     i = cuda.threadIdx.x
        ...     if i > 0:
        ...         y[i] = x[i - 1] + x[0]
        >>> report = simulate.run(shift, 1, 8, np.zeros(8), np.zeros(8))
        >>> print(report.draw("y", width=4))
        y, by the threads that store
        · 1 2 3
        4 5 6 7
        >>> print(report.draw("x", "load"))
        x, by the threads that load
        ×7  2  3  4  5  6  7  ·
        """
        touched = self._traffic.touched.get((array, access))
        if touched is None:
            known = ", ".join(f"{name} ({of})" for name, of in self._traffic.touched) or "none"
            raise ValueError(f"no thread has touched an array {array!r} by {access!r}; there are {known}")
        shape = self._traffic.shapes[array]
        lines = draw(touched, shape, self.grid, self.block, width, rows, columns)
        return "\n".join([f"{array}, by the threads that {access}", *lines])

    def __str__(self) -> str:
        rows = [HEADINGS]
        for kind in sorted(self._traffic.counts):
            count = self._traffic.counts[kind]
            each = f"{count.transactions / count.requests:.1f}"
            used = f"{100 * count.efficiency:.0f} %"
            source = self._lines.get((kind.file, kind.line), "")
            numbers = (str(count.requests), str(count.transactions), each, used)
            rows.append((str(kind.line), kind.memory, kind.access, *numbers, source))
        blocks, threads = (x * y * z for x, y, z in (self.grid, self.block))
        things = ((blocks, "block"), (threads, "thread"), (self.barriers, "barrier"))
        launch = "{}: {} of {}, {}".format(self.name, *(f"{n} {thing}{'s' * (n != 1)}" for n, thing in things))
        return "\n".join([launch, *_aligned(rows)])

    __repr__ = __str__


def _aligned(rows: list[tuple[str, ...]]) -> list[str]:
    """Columns as wide as need be: words to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows)]
    return [
        "  ".join(
            cell.ljust(width) if heading in ("memory", "access", "source") else cell.rjust(width)
            for cell, width, heading in zip(row, widths, HEADINGS)
        ).rstrip()
        for row in rows
    ]

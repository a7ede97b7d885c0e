"""What NumPy computes between the operations of a recorded step, and the random numbers that are drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..backend.random import default_generator
from ..tape import Value
from .memory import Identities, Memory, data_dependent
from .program import Computed
from .traced import PLAIN, RAW, TRACE, arrays_in, plain_of, root_of, untraced

_ABOUT_SHAPES = frozenset(
    ["may_share_memory", "shares_memory", "shape", "ndim", "size", "result_type", "can_cast", "broadcast_shapes"]
)
_SIZE_DEPENDS = frozenset(  # on the numbers
    [
        *("nonzero", "flatnonzero", "argwhere", "extract", "compress", "trim_zeros", "bincount", "unique"),
        *("unique_values", "unique_all", "unique_counts", "unique_inverse"),
        *("union1d", "intersect1d", "setdiff1d", "setxor1d"),
    ]
)


class Between(Memory):
    """The part of a recorder that `Traced` arrays tell what is called with them."""

    def call(self, function: Callable[..., Any], args: tuple, kwargs: dict) -> Any:
        """A NumPy function, or a method of an array, that was called with traced arrays."""
        plain, named = untraced(args), untraced(kwargs)
        name = getattr(function, "__name__", "")
        if self.mode == PLAIN or name in _ABOUT_SHAPES:
            return function(*plain, **named)
        given = arrays_in(plain) + arrays_in(named)
        for array in given if self.mode == TRACE else ():
            if self.owner(array) in self.kept_by:
                self.kept_by[self.owner(array)].read_aside = True
        if self.mode == RAW:
            if isinstance(function, np.ufunc) and function.nout == 1:
                return self.traced(self.watch.element_wise(function, plain, named))
            result = function(*plain, **named)
            if isinstance(result, np.ndarray) and root_of(result) in Identities(map(root_of, given)):
                return self.traced(result)
            self.watch.computes = True
            return result
        self._check_sizes(function, name, plain)
        return self.plainly(self._between, function, plain, named, given)  # NumPy's own Python is none of ours

    def _between(self, function: Callable[..., Any], plain: tuple, named: dict, given: list[np.ndarray]) -> Any:
        written = _written(function, plain, named)
        if written is not None:
            self.before_write(written, given)
        result = function(*plain, **named)
        if written is not None:
            if self._overwritten_by_number(function, plain):
                return None
            if self.varies(given):
                self.add(Computed(function, plain, named))
            return self.traced(result) if isinstance(result, np.ndarray) else None
        if isinstance(result, (tuple, list)):
            parts = [np.asarray(part) if isinstance(part, np.generic) else part for part in result]
            return type(result)(self._came_forth(function, plain, named, given, parts)) if parts else result
        if isinstance(result, (bool, int, float, complex, str, bytes)) and not isinstance(result, np.generic):
            if self.varies(given):
                raise data_dependent(getattr(function, "__name__", str(function)))
            return result
        out = np.asarray(result) if isinstance(result, np.generic) else result
        return self._came_forth(function, plain, named, given, [out], out)[0]

    def _came_forth(
        self, function: Any, plain: tuple, named: dict, given: list, outs: list, single: Any = None
    ) -> list:
        roots = {self.owner(array) for array in given}
        if self.varies(given):
            fresh = [x for x in outs if isinstance(x, np.ndarray) and self.owner(x) not in roots]
            if fresh:
                self.add(Computed(function, plain, named, outs if single is None else single), fresh)
        return [self.traced(x) for x in outs]

    def _overwritten_by_number(self, function: Any, plain: tuple) -> bool:
        """copy, then fill with a number: what was copied does not matter."""
        if function is not np.ndarray.fill:
            return False
        owner, last = self.owner(plain[0]), len(self.program) - 1
        made_last = owner in self.varying and self.made.get(owner) == last
        if made_last and isinstance(self.program[last], Computed) and self.program[last].out is plain[0]:
            self.program.pop()
            self.varying.discard(owner)
            return True
        return False

    def _check_sizes(self, function: Any, name: str, plain: tuple) -> None:
        by_mask = function is np.ndarray.__getitem__ and any(x.dtype.kind == "b" for x in arrays_in(plain[1:]))
        where = name == "where" and len(plain) == 1
        if (name in _SIZE_DEPENDS or by_mask or where) and self.varies(arrays_in(plain)):
            raise data_dependent("an index by a mask" if by_mask else name)

    def kernel_between(self, kernel: Callable[..., Any], args: tuple) -> Any:
        """A compiled kernel that was called outside of an operation."""
        plain = untraced(args)
        given = arrays_in(plain)
        returned = kernel(*plain)
        if returned is not None and self.varies(given):
            raise data_dependent(f"the kernel {getattr(kernel, 'name', kernel)}")
        self.add(Computed(kernel, plain, {}))
        for array in given:
            self.vary(array)
        return returned

    def checked(self, check: Callable[..., Any], args: tuple) -> None:
        """A check that looks at numbers and may raise: so does each replay."""
        plain = tuple([plain_of(x.array) if isinstance(x, Value) else plain_of(x) for x in args])
        self.plainly(check, *plain)
        if self.varies(arrays_in(plain)):
            self.add(Computed(check, plain, {}))

    def drawn(self, method: Callable[..., Any], generator: Any, args: tuple, kwargs: dict) -> Any:
        """Random numbers: each replay draws its own, from the generator that is then this thread's, if it is now."""
        out = self.plainly(method, generator, *args, **kwargs)
        if generator is default_generator():
            draw = Computed(_draw_from_default, (method, *args), kwargs, out)
        else:
            draw = Computed(method, (generator, *args), kwargs, out)
        self.add(draw, [out])
        return self.traced(out)


def _draw_from_default(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return method(default_generator(), *args, **kwargs)


def _written(function: Any, plain: tuple, named: dict) -> np.ndarray | None:
    """The array that the call changes, if it does."""
    if function in (np.ndarray.__setitem__, np.ndarray.fill, np.ndarray.put, np.ndarray.sort, np.ndarray.partition):
        return plain[0]
    if function in (np.copyto, np.put, np.putmask, np.place, np.fill_diagonal, np.put_along_axis):
        return plain[0]
    if getattr(function, "__name__", "") == "at" and isinstance(getattr(function, "__self__", None), np.ufunc):
        return plain[0]
    out = named.get("out")
    if isinstance(out, tuple):
        out = out[0]
    return out

"""The contract's programs, with arrays that are on GPUs: those of the double, over the memory of the program's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

TRAVELS = "?bhilqBHILQefdFD"  # CuPy has neither long doubles nor foreign byte orders: those stay on the host


class OnGPU:
    """`comm`, whose calls are given CuPy arrays in place of NumPy's, and whose results are NumPy arrays again."""

    def __init__(self, comm: Any) -> None:
        self.comm = comm
        self.rank, self.size = comm.rank, comm.size

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.comm, name)
        return self._translated(found) if callable(found) else found

    own_algorithms = ("own",)  # which one that is, depends on where the array is

    def split(self, *arguments: Any, **options: Any) -> Any:
        group = self.comm.split(*arguments, **options)
        return None if group is None else OnGPU(group)

    def _translated(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def translated(*arguments: Any, **options: Any) -> Any:
            import cupy  # the double

            pairs: list[tuple[Any, np.ndarray]] = []

            def there(x: Any) -> Any:
                if not isinstance(x, np.ndarray) or x.dtype.char not in TRAVELS or not x.dtype.isnative:
                    return x
                pairs.append((cupy.ndarray._of(x), x))
                return pairs[-1][0]

            def back(x: Any) -> Any:
                for gpu, host in pairs:
                    if x is gpu:
                        return host
                return x._host if isinstance(x, cupy.ndarray) else x

            given = [there(x) for x in arguments]
            named = {name: there(x) for name, x in options.items()}
            if named.get("algorithm") == "own":
                named["algorithm"] = "nccl" if pairs else self.comm._host.own_algorithms[0]
            result = call(*given, **named)
            return _Work(result, back) if hasattr(result, "wait") else back(result)

        return translated


class _Work:
    def __init__(self, work: Any, back: Callable[[Any], Any]) -> None:
        self._work, self._back = work, back
        self.done = work.done

    def wait(self) -> Any:
        return self._back(self._work.wait())

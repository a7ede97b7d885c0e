"""Writes the table of docs/gpu-kernels.md: `python tools/make_gpu_table.py`. Takes a minute; needs no GPU.

Launches and bytes of each operation, by the hand-written kernels (run and counted by `minipar.kernels.simulate`) and by
the reference's lines over arrays, of which CuPy makes a launch each: those are counted here, call by call, with what
they read and write. Making an array is not counted, nor is a copy between GPU and CPU.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

from minipar.backend import dispatch
from minipar.bench.report import markdown_table
from minipar.kernels import simulate
from minipar.kernels.cuda import launcher, wrong_targets
from minipar.kernels.cuda.recurrent import persistent

PAGE = Path(__file__).resolve().parents[1] / "docs" / "gpu-kernels.md"
SECTOR = 32  # bytes


class Cost(NamedTuple):
    launches: int = 0
    bytes: int = 0

    def __add__(self, more: Cost) -> Cost:  # type: ignore[override]
        return Cost(self.launches + more.launches, self.bytes + more.bytes)


_ascontiguousarray = np.ascontiguousarray


def shared(x: Any, y: Any) -> bool:
    return isinstance(x, np.ndarray) and np.may_share_memory(_plain(x), _plain(y))


class Counted(np.ndarray):
    """An array whose operations count what CuPy's would cost; ``spent`` so far."""

    spent = Cost()

    @classmethod
    def charge(cls, *arrays: Any) -> None:
        """One launch that reads or writes these."""
        cls.spent += Cost(1, sum(array.nbytes for array in arrays if isinstance(array, np.ndarray)))

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = (), **kwargs: Any) -> Any:
        plain = [_plain(x) for x in inputs]
        result = getattr(ufunc, method)(*plain, **({"out": tuple(map(_plain, out))} if out else {}), **kwargs)
        self.charge(*plain, *(out or (np.asarray(result),)))
        return out[0] if out else _counted(result)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        plain = [_plain(x) for x in args]
        result = function(*plain, **{key: _plain(x) for key, x in kwargs.items()})
        parts = plain[0] if isinstance(plain[0], (list, tuple)) else plain
        if function.__name__ not in ("empty_like", "zeros_like") and not any(shared(part, result) for part in parts):
            self.charge(*parts, result)
        return _counted(result)

    def __getitem__(self, index: Any) -> Any:
        found = _plain(self)[_plain(index)]
        if isinstance(found, np.ndarray) and not shared(found, self):  # picked by an array of places
            self.charge(found, found, *(index if isinstance(index, tuple) else (index,)))
        return _counted(found)

    def __setitem__(self, index: Any, value: Any) -> None:
        _plain(self)[_plain(index)] = _plain(value)
        if isinstance(value, np.ndarray) and not shared(value, self):
            self.charge(value, value)

    def mean(self, *args: Any, **kwargs: Any) -> Any:  # one launch: NumPy's are two
        result = _plain(self).mean(*args, **kwargs)
        self.charge(self, np.asarray(result))
        return _counted(result)

    def astype(self, dtype: Any, *args: Any, copy: bool = True, **kwargs: Any) -> Any:
        result = _plain(self).astype(dtype, *args, copy=copy, **kwargs)
        if not shared(result, self):
            self.charge(self, result)
        return _counted(result)


def _plain(x: Any) -> Any:
    if isinstance(x, (tuple, list)):
        return type(x)(map(_plain, x))
    return x.view(np.ndarray) if isinstance(x, Counted) else x


def _counted(x: Any) -> Any:
    if isinstance(x, (tuple, list)):
        return type(x)(map(_counted, x))
    return x.view(Counted) if isinstance(x, np.ndarray) else x


@contextmanager
def simulated() -> Iterator[list[Cost]]:
    """Inside, launches are simulated over NumPy arrays, and the list says what each cost."""
    costs: list[Cost] = []

    def launch(planner: Callable[..., Any], *operands: Any) -> Any:
        plan = planner(*operands)
        if plan.blocks:
            report = simulate.run(plan.kernel.function, plan.blocks, plan.kernel.threads, *_plain(plan.args))
            costs.append(Cost(1, report.global_sectors * SECTOR))
        return _counted(plan.result)

    def contiguous(x: Any, *dtype: Any) -> Any:  # the one function of a planner that may be a launch of CuPy's
        result = _ascontiguousarray(_plain(x), *dtype)
        if isinstance(x, Counted) and not shared(x, result):
            Counted.charge(x, result)
        return result

    note = np.zeros(wrong_targets.LENGTH, np.int64)
    with (
        mock.patch.object(launcher, "launch", launch),
        mock.patch.object(wrong_targets, "note_of", return_value=note),
        mock.patch.object(np, "ascontiguousarray", contiguous),
    ):
        yield costs


Calls = Callable[[Callable[[str], Callable[..., Any]]], None]


def operations() -> Iterator[tuple[str, str, int, Calls]]:
    """(what, of which shape, elements, the calls of one forward and one backward, by whoever serves a kernel)."""
    rng = np.random.default_rng(0)

    def numbers(*shape: int) -> Any:
        return rng.standard_normal(shape, dtype=np.float32).view(Counted)

    x, target, g = numbers(64, 100), rng.integers(0, 100, 64).view(Counted), np.ones((), np.float32).view(Counted)

    def cross_entropy(kernel: Any) -> None:
        _, _, kept = kernel("cross_entropy_loss")(x, target, None, -100, True)
        kernel("cross_entropy_gradient")(g, kept, target)

    yield "softmax–cross-entropy", "64 × 100", x.size, cross_entropy

    rows, gradient, weight, bias = numbers(64, 128), numbers(64, 128), numbers(128), numbers(128)

    def layer_norm(kernel: Any) -> None:
        _, kept = kernel("layer_norm_forward")(rows, weight, bias, 1e-5, True)
        kernel("layer_norm_backward")(gradient, rows, weight, kept, True, numbers(128), numbers(128))

    yield "layer norm", "64 × 128", rows.size, layer_norm

    planes, of_planes, scale, shift = numbers(8, 4, 256), numbers(8, 4, 256), numbers(4), numbers(4)

    running = numbers(4), numbers(4)

    def batch_norm(kernel: Any) -> None:
        _, statistics = kernel("batch_norm_forward")(planes, scale, shift, 1e-5)
        kernel("follow_statistics")(*running, statistics, planes.size // 4, 0.1)
        kernel("batch_norm_backward")(of_planes, planes, scale, statistics, 1e-5, True, numbers(4), numbers(4))

    yield "batch norm", "8 × 4 × 16 × 16", planes.size, batch_norm

    image, of_maxima = numbers(2, 4, 32, 32), numbers(2, 4, 16, 16)
    geometry = (2, 2), (2, 2), (0, 0), (1, 1)

    def max_pool(kernel: Any) -> None:
        _, taps = kernel("max_pool2d_taps")(image, *geometry, False)
        kernel("max_pool2d_taps_backward")(of_maxima, taps, image.shape, *geometry)

    yield "max pooling, 2 × 2", "2 × 4 × 32 × 32", image.size, max_pool

    def avg_pool(kernel: Any) -> None:
        options = (2, 2), (2, 2), (0, 0), False, True, None
        kernel("avg_pool2d_forward")(image, *options)
        kernel("avg_pool2d_backward")(of_maxima, image.shape, *options)

    yield "average pooling, 2 × 2", "2 × 4 × 32 × 32", image.size, avg_pool

    thinned, of_thinned = numbers(64, 128), numbers(64, 128)

    def dropout(kernel: Any) -> None:
        ticket = np.array([1.0, 2.0, 3.0, 0.0, 0.0])
        _, kept = kernel("dropout_forward")(thinned, ticket, (1, 64, 128, 1), 0.5, 2.0)
        kernel("dropout_backward")(of_thinned, kept, 2.0)

    yield "dropout", "64 × 128", thinned.size, dropout

    lstm = (
        numbers(8, 4, 32),
        numbers(4, 32),
        numbers(4, 32),
        numbers(128, 32),
        numbers(128, 32),
        numbers(128),
        numbers(128),
    )
    of_states = numbers(8, 4, 32)

    def recurrent(kernel: Any) -> None:
        walk = None, None, False, False  # no projection; of one length, time first, forwards
        *_, saved = kernel("lstm_sequence")(*lstm, *walk)
        weights = lstm[0], saved, *lstm[3:5], *walk
        kernel("lstm_sequence_backward")(
            of_states, None, None, *weights, (True,) * 7, [numbers(*w.shape) for w in lstm[3:]]
        )

    def step_by_step(kernel: Any) -> None:
        with mock.patch.object(persistent, "width_that_fits", return_value=None):
            recurrent(kernel)

    yield "LSTM, persistent", "8 steps × 4 × 32", of_states.size, recurrent
    yield "LSTM, step by step", "8 steps × 4 × 32", of_states.size, step_by_step

    p, gp, m, v = (numbers(4096) for _ in range(4))
    v *= v
    yield "SGD with momentum", "4096", p.size, lambda kernel: kernel("sgd_step")(
        p, gp, m, 0.1, 0.9, 0, 1e-4, False, False, False
    )  # fmt: skip
    yield "AdamW", "4096", p.size, lambda kernel: kernel("adam_step")(
        p, gp, m, v, 3, 1e-3, 0.9, 0.999, 1e-8, 1e-2, False, True
    )  # fmt: skip


def by_reference(calls: Calls) -> Cost:
    with np.errstate(all="ignore"):
        Counted.spent = Cost()
        with_kernels(calls, dispatch.REFERENCE)
        return Counted.spent


def by_hand(calls: Calls) -> Cost:
    """The launches of our own, and the few that CuPy still makes between them (casts of statistics)."""
    with simulated() as costs:
        Counted.spent = Cost()
        with_kernels(calls, dispatch.CUDA)
        return sum(costs, Counted.spent)


def with_kernels(calls: Calls, table: dict[str, str]) -> None:
    from importlib import import_module

    calls(lambda name: getattr(import_module(f"minipar.kernels.{table[name]}"), name))


def table() -> str:
    lines = []
    for what, shape, elements, calls in operations():
        before, after = by_reference(calls), by_hand(calls)
        moved = [f"{cost.bytes / elements:.0f}" for cost in (before, after)]
        lines.append([what, shape, str(before.launches), str(after.launches), *moved])
    heads = "forward and backward of", "shape", "launches before", "after", "bytes an element before", "after"
    return "\n".join(markdown_table(heads, lines))


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    begin, end = "<!-- cost: written by tools/make_gpu_table.py -->", "<!-- end of cost -->"
    text, count = re.subn(f"{begin}.*?{end}", lambda _: f"{begin}\n\n{table()}\n\n{end}", text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{PAGE.name} has no place for the table: {begin} … {end}")
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

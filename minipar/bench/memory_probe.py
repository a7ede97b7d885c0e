"""Peak memory of a few training steps in this process: `python -m minipar.bench.memory_probe LIBRARY SUBJECT`.

The level is taken after the import and a step of a tiny batch: libraries, compiled kernels and thread stacks are not
counted. Then the peak is reset (Linux: /proc/self/clear_refs), the model is built and trained, and the growth is said,
as a line of JSON.
"""

from __future__ import annotations

import gc
import sys
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any

from .contenders import THREADS
from .worker import messages
from .workloads import WORKLOADS, Batch, Step, Workload, classes, numbers, ordinary_step, prepare

STEPS = 3
DEPTH, WIDTH, ROWS, SEGMENTS = 32, 128, 4096, 6
SUBJECTS = {
    "W3": "the CNN of W3, batch 64",
    "deep": f"{DEPTH} blocks of Linear({WIDTH}, {WIDTH}) and Tanh, batch {ROWS}",
    "deep-checkpoint": f"the same through checkpoint_sequential in {SEGMENTS} segments",
}


def deep(recompute: bool) -> Any:
    """A model of many equal blocks, which keeps every activation, or those between segments only."""

    def model(torch: Any) -> Any:
        nn = torch.nn
        checkpoint = import_module(f"{torch.__name__}.utils.checkpoint")

        class Deep(nn.Module):  # type: ignore[name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.blocks = nn.Sequential(*(nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Tanh()) for _ in range(DEPTH)))

            def forward(self, x: Any) -> Any:
                if recompute:
                    return checkpoint.checkpoint_sequential(self.blocks, SEGMENTS, x, use_reentrant=False)
                return self.blocks(x)

        return Deep()

    return model


def workload(subject: str, rows: int | None) -> Workload:
    """With so many rows, or as many as it is to have."""
    if subject == "W3":
        whole = WORKLOADS["W3"]
        batch = classes(rows or 64, 1, 28, 28)
        return Workload(whole.summary, whole.model, batch, whole.loss, whole.optimizer, whole.lr)
    shape = (rows or ROWS, WIDTH)

    def data(rng: Any) -> Batch:
        return numbers(shape, shape)(rng)

    return Workload(SUBJECTS[subject], deep(subject == "deep-checkpoint"), data, "MSELoss", "SGD", 1e-2)


def probe(library: Any, subject: str) -> dict[str, Any]:
    """Bytes of growth, seconds of the fastest step, the last loss, and whether the peak could be reset."""
    ordinary_step(prepare(library, workload(subject, 1)))()
    gc.collect()
    exact = reset_peak()
    level = kib("VmRSS")
    step: Step = ordinary_step(prepare(library, workload(subject, None)))
    seconds, loss = [], 0.0
    for _ in range(STEPS):
        start = perf_counter()
        loss = step().item()
        seconds.append(perf_counter() - start)
    peak = kib("VmHWM")
    return {"growth": (peak - level) * 1024, "seconds": min(seconds), "loss": loss, "exact": exact}


def reset_peak() -> bool:
    """Let VmHWM begin anew. False where that is not allowed: the growth is then an upper bound."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def kib(name: str) -> int:
    """A size of this process, from /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def main() -> int:
    say = messages()
    name, subject = sys.argv[1:]
    library = import_module(name)
    if name == "torch":
        library.set_num_threads(THREADS)
    say(probe(library, subject))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""`minipar train`: train on shipped data, on one worker or several; save a checkpoint and the loss curve."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np

from ..arguments import CommandError, CommandFailed, folder, positive_float, positive_int, seed
from ..backend import device as Device
from ..creation import from_numpy
from ..parallel import Layout
from ..parallel.comm.cores import usable_cores
from .output import say
from .tasks import TASKS
from .training import Run, Settings, train


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = "Train a model on a data set that ships with minipar:\n\n" + "\n".join(
        f"  {name:<14} {task.summary}" for name, task in TASKS.items()
    )
    parser.add_argument("data", metavar="data", help=f"one of: {', '.join(TASKS)}")
    parser.add_argument("--workers", type=positive_int, help="processes that share each batch (default 1)")
    parser.add_argument(
        "--layout",
        help="how a step is split: auto (data parallelism over --workers; the default), or a list such as data=2, "
        "pipeline=2,microbatches=8,cut=measured, tensor=2, space=2 or data=2,pipeline=2,schedule=gpipe; what a layout "
        "measures (cut=measured, shares=measured) is written to history.json",
    )
    parser.add_argument(
        "--epochs", type=positive_int, help="passes over the training data (default: the data set's own)"
    )
    parser.add_argument("--batch-size", type=positive_int, help="samples a step, of all workers together")
    parser.add_argument("--lr", type=positive_float, help="learning rate")
    parser.add_argument("--seed", type=seed, default=0, help="of initial weights and shuffling (default 0)")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:N")
    parser.add_argument("--out", type=folder, help="folder for checkpoint, curve and history (default runs/DATA)")
    parser.add_argument(
        "--compare-workers",
        action="store_true",
        help="train on 1 worker and in the layout (2 workers if not given), and show layer by layer how equal they are",
    )


def run(args: argparse.Namespace) -> int:
    settings = _settings(args)
    if args.compare_workers:
        from .compare import compare_workers

        _check_comparison(args, settings.layout)
        return compare_workers(settings)
    out, workers = args.out or Path("runs") / settings.data, settings.layout.ranks
    _check_writable(out)
    split = f" ({settings.layout})" if workers > 1 else ""
    say(f"{settings.data}: {settings.task.summary}; {workers} worker{'s' * (workers > 1)}{split}, {settings.dtype}")
    started = time.perf_counter()
    try:
        result = launch_training(settings, table=True)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("nothing was written") from None
    seconds = time.perf_counter() - started
    out.mkdir(parents=True, exist_ok=True)
    files = save_run(out, settings, result)
    best = result.history[-1]
    say(f"{settings.task.metric_name} {best.metric:.4f} in {seconds:.1f} s; wrote {', '.join(map(str, files))}")
    return 0


def launch_training(settings: Settings, table: bool) -> Run:
    """Train in spawned processes, as many as the layout has ranks; the result is rank 0's.

    CommandFailed if the training diverges.
    """
    from ..backend.device import CPU
    from ..parallel.ranks.processes import run
    from .screen import PlainScreen

    examples = settings.task.prepare(np.dtype(settings.dtype))
    arguments = settings, examples, table, sys.stderr.isatty()
    workers = settings.layout.ranks
    result = run(train, arguments, {}, workers, 600.0, [CPU] * workers, PlainScreen())[0]
    if result.diverged:
        raise CommandFailed(f"{result.diverged}: try a smaller --lr than {settings.lr:g}")
    return result


def save_run(out: Path, settings: Settings, result: Run) -> list[Path]:
    """checkpoint.safetensors, loss.svg and history.json, each written whole or not at all.

    What the layout has measured stands in history.json: `layout.parallelize(model, comm, **told["measured"])` has the
    same cut and the same shares, and so the same bits.
    """
    from ..checkpoint import save, write_whole
    from ..viz import curve

    facts = {**asdict(settings), "layout": str(settings.layout), "workers": settings.layout.ranks}
    checkpoint, picture, history = out / "checkpoint.safetensors", out / "loss.svg", out / "history.json"
    save({k: from_numpy(v) for k, v in result.final.items()}, checkpoint, {k: str(v) for k, v in facts.items()})
    drawn = curve(
        {"training loss": [row.loss for row in result.history]}, title=settings.data, xlabel="epoch", ylabel="loss"
    )
    write_whole(picture, drawn._repr_svg_().encode())
    rows = [asdict(row) for row in result.history]
    told = {"settings": facts, "measured": result.measured, "history": rows}
    write_whole(history, json.dumps(told, indent=1).encode())
    return [checkpoint, picture, history]


def _settings(args: argparse.Namespace) -> Settings:
    if args.data not in TASKS:
        from difflib import get_close_matches

        close = get_close_matches(args.data, TASKS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise CommandError(f"unknown data set {args.data!r}: choose one of {', '.join(TASKS)}{hint}")
    task = TASKS[args.data]
    _check_device(args.device)
    return Settings(
        data=args.data,
        epochs=args.epochs or task.epochs,
        batch_size=args.batch_size or task.batch_size,
        lr=args.lr or task.lr,
        seed=args.seed,
        dtype=args.dtype,
        device=args.device,
        layout=_layout(args),
    )


def _layout(args: argparse.Namespace) -> Layout:
    workers = args.workers or (2 if args.compare_workers and not args.layout else 1)
    try:
        layout = Layout.parse(args.layout or "auto", workers)
    except ValueError as error:
        raise CommandError(f"--layout: {error}") from None
    if args.workers and args.workers != layout.ranks:
        raise CommandError(f"--layout {layout} takes {layout.ranks} workers, not --workers {args.workers}")
    cores = usable_cores()
    if layout.ranks > 8 * cores:
        raise CommandError(f"--workers {layout.ranks} is more than 8 for each of the {cores} cores here")
    return layout


def _check_device(name: str) -> None:
    try:
        target = Device(name)
    except ValueError as error:
        raise CommandError(f"--device: {error}") from None
    if target.type == "cuda":
        from ..kernels.cuda import detect

        usable, reason = detect.status()
        if not usable:
            raise CommandError(f"--device {name}: {reason}")


def _check_comparison(args: argparse.Namespace, layout: Layout) -> None:
    if args.out:
        raise CommandError("--compare-workers writes no files: leave --out away")
    if layout.ranks == 1:
        raise CommandError("--compare-workers compares 1 worker with several: give --workers 2 or more, or a --layout")


def _check_writable(out: Path) -> None:
    """CommandError if nothing can be written in the folder `out`, or if it cannot be made; does not make it."""
    import tempfile

    try:
        nearest = out.absolute()
        while not nearest.exists():
            nearest = nearest.parent
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise CommandError(f"--out {out}: cannot write there ({error.strerror})") from None

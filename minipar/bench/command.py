"""`minipar bench`: arguments, and the run itself."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..arguments import positive_float, positive_int
from ..checkpoint import write_whole

SECONDS = 20.0  # of a workload
EPILOG = """\
A workload takes --seconds seconds at the most, plus the start of its processes; less where the machine is quiet.
Exit code: 0 done; 1 if a contender failed or trained something else than the others (with --gpu: if a check failed, a
part did not run to its end, or there is no GPU); 2 if asked wrongly.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from .contenders import CONTENDERS, DEFAULT

    baseline, *others = CONTENDERS
    parser.description = (
        "Time training steps of small models against other libraries, or check and time the GPU kernels."
    )
    parser.epilog = EPILOG
    parser.add_argument(
        "workloads",
        nargs="*",
        metavar="workload",
        help="W1, W2a, …, W6; with --sweep a kind of layer, as Conv2d (default: all)",
    )
    parser.add_argument("--seconds", type=positive_float, help=f"at most this long a workload (default {SECONDS:g})")
    parser.add_argument(
        "--against",
        action="append",
        choices=["all", *others],
        metavar="NAME",
        help=f"whom to compare {baseline} with: {', '.join(others)}, or all; may be given again "
        f"(default: {' and '.join(DEFAULT)})",
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write all numbers there")
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="write the table there")
    parser.add_argument("--plot", type=Path, metavar="PATH", help="draw the ratios there (.svg, .png; by matplotlib)")
    instead = parser.add_mutually_exclusive_group()
    instead.add_argument("--sweep", action="store_true", help="instead: some 240 shapes beside PyTorch, and the worst")
    instead.add_argument(
        "--memory", action="store_true", help="instead: peak memory of a step, and what checkpoint saves"
    )
    instead.add_argument("--startup", action="store_true", help="instead: import time, and the first step of a process")
    instead.add_argument("--threads", action="store_true", help="instead: minipar with one thread, and with all")
    instead.add_argument("--profile", action="store_true", help="instead: where the time of minipar's own step goes")
    instead.add_argument(
        "--comm",
        action="store_true",
        help="instead: all-reduce between processes, beside gloo and MPI, with its bars (two to five minutes, longer "
        "on a busy machine); minipar's arrays are registered (of comm.empty: all ranks see them) or private (any "
        "other), and bound is what memory would need if no rank waited",
    )
    instead.add_argument(
        "--parallel",
        action="store_true",
        help="instead: training steps split over two workers (by data, layers, features, rows of images), beside one "
        "worker, beside what two unrelated runs can do here and beside PyTorch's DDP, with their bars (five minutes, "
        "longer on a busy machine)",
    )
    instead.add_argument(
        "--all-results",
        type=Path,
        metavar="FOLDER",
        help="all of these, against every library that is installed, written into FOLDER (about a quarter of an hour)",
    )
    instead.add_argument(
        "--gpu",
        action="store_true",
        help="instead: check every CUDA kernel, training steps of every family of models and NCCL against float64; "
        "time them beside cuBLAS, cuDNN, PyTorch and a copy; write a report with its bars (less than eight minutes)",
    )
    parser.add_argument(
        "--ranks",
        type=positive_int,
        action="append",
        metavar="N",
        help="with --comm: so many ranks; may be given again (default: 2 and 4)",
    )
    parser.add_argument(
        "--mpi",
        action="append",
        metavar="PYTHON",
        help="with --comm: an interpreter with NumPy and mpi4py, whose MPI takes part; may be given again (also: "
        "$MINIPAR_MPI_PYTHONS; default: this one)",
    )


def run(args: argparse.Namespace) -> int:
    """Returns the exit code; see EPILOG."""
    mode = next(
        (
            name
            for name in ("gpu", "sweep", "memory", "startup", "threads", "profile", "comm", "parallel", "all_results")
            if vars(args)[name]
        ),
        "",
    )
    problem = (
        _wrong_workloads(args.workloads, mode)
        or unwritable(filter(None, (args.json, args.markdown, args.plot)))
        or _wrong_mode(args, mode)
    )
    if problem:
        sys.stderr.write(f"minipar bench: {problem}\n")
        return 2
    if mode == "gpu":
        from .gpu import run as run_gpu

        return run_gpu(args.json, args.markdown)
    if mode == "all_results":
        from .all_results import write_all

        return write_all(args.all_results, args.seconds or SECONDS)
    return _MODES[mode](args)


def _table(args: argparse.Namespace) -> int:
    from . import table

    found = table.measure(args.workloads, table.chosen(args.against), args.seconds or SECONDS)
    table.write_plot(found, args.plot)
    return _finish(args, found)


def _sweep(args: argparse.Namespace) -> int:
    from .sweep import command

    found = command.measure(args.workloads)
    print(command.report(found))
    return _finish(args, found)


def _memory(args: argparse.Namespace) -> int:
    from . import fresh

    found = fresh.memory()
    print(found.text())
    return _finish(args, found)


def _startup(args: argparse.Namespace) -> int:
    from . import fresh

    found = fresh.startup()
    print(found.text())
    return _finish(args, found)


def _threads(args: argparse.Namespace) -> int:
    from . import threads

    found = threads.measure(args.workloads)
    print(found.text())
    return _finish(args, found)


def _comm(args: argparse.Namespace) -> int:
    from . import comm

    return _finish(args, comm.measure(args.ranks or comm.RANKS, args.mpi or ()))


def _parallel(args: argparse.Namespace) -> int:
    from . import parallel

    return _finish(args, parallel.measure())


def _profile(args: argparse.Namespace) -> int:
    from . import profile

    found = profile.measure(args.workloads)
    print(found.text())
    return _finish(args, found)


_MODES = {
    "": _table,
    "sweep": _sweep,
    "memory": _memory,
    "startup": _startup,
    "threads": _threads,
    "profile": _profile,
    "comm": _comm,
    "parallel": _parallel,
}


def _finish(args: argparse.Namespace, found: Any) -> int:
    """Write what was asked for. `found` has `data()`, `markdown()` and `failed`."""
    write_files({args.json: json.dumps(found.data(), indent=1), args.markdown: found.markdown()})
    return int(found.failed)


def write_files(content: Mapping[Path | None, str]) -> None:
    """Write each file whole or not at all; a path of None is not wanted."""
    for path, text in content.items():
        if path is not None:
            write_whole(path, text.encode())
            print(f"wrote {path}")


def unwritable(paths: Iterable[Path]) -> str:
    """Why one of these files cannot be written, found before the work is done and not after; "" if all can be."""
    for path in paths:
        if path.is_dir():
            return f"{path} is a folder; give the name of a file"
        if not path.parent.is_dir():
            return f"{path} cannot be written: there is no folder {path.parent}"
        if not os.access(path.parent, os.W_OK):
            return f"{path} cannot be written: the folder {path.parent} is not writable"
    return ""


def _wrong_mode(args: argparse.Namespace, mode: str) -> str:
    option = f"--{mode.replace('_', '-')}"
    if mode != "comm" and (args.ranks or args.mpi):
        return "--ranks and --mpi belong to --comm"
    if mode == "comm" and 1 in (args.ranks or ()):
        return "--ranks 1: a rank alone has nobody to talk to; give 2 or more"
    if mode and args.against:
        return f"{option} chooses whom to compare with; leave --against out"
    if mode not in ("", "all_results") and args.seconds:
        return f"{option} takes the time that it takes; leave --seconds out"
    if args.plot and mode:
        return (
            f"--plot draws the table of workloads; {option} has none"
            if mode != "all_results"
            else ("--all-results chooses the names of its files; leave --plot out")
        )
    if args.plot:
        from .plot import why_not

        return why_not()
    if mode == "all_results":
        missing = unwritable([args.all_results / "cpu.md"])
        if missing:
            return missing
    if mode == "all_results" and (args.json or args.markdown):
        return "--all-results chooses the names of its files; leave --json and --markdown out"
    if mode == "sweep" and find_spec("torch") is None:
        return 'the sweep needs PyTorch, which is not installed (pip install ".[oracle]" in the checkout)'
    if mode == "memory" and not Path("/proc/self/status").exists():
        return "peak memory is read from Linux's /proc, which is not here"
    return ""


def _wrong_workloads(names: list[str], mode: str) -> str:
    """What --sweep takes are kinds of layers."""
    if mode == "sweep":
        from .sweep.cases import FAMILIES as known
    else:
        from .workloads import WORKLOADS as known  # type: ignore[assignment]

    if mode not in ("", "profile", "sweep", "threads") and names:
        return f"--{mode.replace('_', '-')} takes no workloads, got {' '.join(names)}"
    for name in names:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            what = "layer" if mode == "sweep" else "workload"
            return f"unknown {what} {name!r}: choose from {', '.join(known)}{hint}"
    return ""

"""`minipar bench`: arguments, and the run itself."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path

from ..arguments import positive_float
from ..checkpoint import write_whole

EPILOG = """\
A workload takes --seconds seconds at the most, plus the start of its processes; less where the machine is quiet.
Exit code: 0 done; 1 if a contender failed or trained something else than the others (with --gpu: if a check failed, or
there is no GPU); 2 if asked wrongly.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from .contenders import CONTENDERS

    baseline, *others = CONTENDERS
    parser.description = (
        "Time training steps of small models against other libraries, or check and time the GPU kernels."
    )
    parser.epilog = EPILOG
    parser.add_argument("workloads", nargs="*", metavar="workload", help="W1, W2a, …, W6 (default: all)")
    parser.add_argument(
        "--seconds", type=positive_float, default=20.0, help="at most this long a workload (default 20)"
    )
    parser.add_argument(
        "--against",
        action="append",
        choices=others,
        help=f"whom to compare {baseline} with; may be given again (default: {', '.join(others)})",
    )
    parser.add_argument("--json", type=Path, metavar="PATH", help="write all numbers there")
    parser.add_argument("--markdown", type=Path, metavar="PATH", help="write the table there")
    parser.add_argument(
        "--gpu",
        action="store_true",
        help="instead: check every CUDA kernel, a training step and NCCL against float64, time them, write a report",
    )


def run(args: argparse.Namespace) -> int:
    """Returns the exit code; see EPILOG."""
    problem = _wrong_workloads(args.workloads, args.gpu) or unwritable(filter(None, (args.json, args.markdown)))
    if problem:
        sys.stderr.write(f"minipar bench: {problem}\n")
        return 2
    if args.gpu:
        from .gpu import run as run_gpu

        return run_gpu(args.json, args.markdown)
    return _race_all(args)


def _race_all(args: argparse.Namespace) -> int:
    from . import report
    from .contenders import CONTENDERS
    from .harness import race
    from .machine import conditions
    from .workloads import WORKLOADS

    baseline, *others = CONTENDERS.values()
    wanted = [baseline, *(other for other in others if args.against is None or other.name in args.against)]
    missing = [line for line in (contender.why_missing() for contender in wanted) if line]
    present = [contender for contender in wanted if not contender.why_missing()]
    facts = {**conditions(), "limit": f"{args.seconds:g} s a workload"}
    print("\n".join([*(f"{name:>10}  {text}" for name, text in facts.items()), *missing]), flush=True)
    results = {}
    for workload in args.workloads or WORKLOADS:
        results[workload] = race(workload, present, args.seconds)
        print(f"\n{report.text_table(workload, results[workload])}", flush=True)
    print("\n" + "\n".join(f"{name}: {text}" for name, text in report.threads(results).items()))
    write_files(
        {
            args.json: json.dumps(report.data(facts, results), indent=1),
            args.markdown: report.markdown(facts, results),
        }
    )
    return int(any(row.error for rows in results.values() for row in rows))


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


def _wrong_workloads(names: list[str], gpu: bool) -> str:
    from .workloads import WORKLOADS

    if gpu and names:
        return f"--gpu takes no workloads, got {' '.join(names)}"
    for name in names:
        if name not in WORKLOADS:
            close = get_close_matches(name, WORKLOADS, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            return f"unknown workload {name!r}: choose from {', '.join(WORKLOADS)}{hint}"
    return ""

"""`minipar bench --threads`: is any workload slower with all threads than with one?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from .contenders import CONTENDERS, ENVIRONMENT, THREADS
from .fresh import Findings
from .harness import race
from .report import duration
from .summary import ratio, remarks
from .workloads import WORKLOADS

SECONDS = 10.0  # of a workload
NOISE = 0.03  # of a step's time: what two runs of the same program differ by

_ONE = replace(CONTENDERS["minipar"], environment=dict.fromkeys(ENVIRONMENT, "1"))


def measure(workloads: Sequence[str] = (), seconds: float = SECONDS) -> Findings:
    """Race minipar with THREADS threads against minipar with one, printing each line as it is found."""
    found = Findings(
        "Threads",
        f"Steps of minipar with 1 thread and with {THREADS}, as $NUMBA_NUM_THREADS or `set_num_threads` says, in "
        "blocks in turn (benchmarks/README.md); medians of quiet blocks.",
        ("workload", "1 thread", f"{THREADS} threads", "ratio", "remarks"),
    )
    for name in workloads or WORKLOADS:
        many, one = race(name, (CONTENDERS["minipar"], _ONE), seconds)
        failed = many.error or one.error
        times = ["" if row.error or not row.blocks else duration(row.median) for row in (one, many)]
        compared = None if failed else ratio(one, many)
        said = dict.fromkeys([*remarks(many, many), *remarks(one, many)])
        found.lines.append([name, *times, "" if compared is None else f"{compared.median:.2f}", "; ".join(said)])
        print(f"  {'  '.join(found.lines[-1])}", flush=True)
        found.failed |= bool(failed)
        if compared is not None:
            found.numbers[name] = {"one": one.median, "many": many.median, "ratio": compared.median}
    found.verdicts.append(_verdict({name: row["ratio"] for name, row in found.numbers.items()}))
    return found


def _verdict(ratios: dict[str, float]) -> str:
    """`ratios`: time with one thread over time with all, of the workloads that could be measured."""
    slower = [name for name, ratio in ratios.items() if ratio < 1 - NOISE]
    which = f"slower: {', '.join(slower)}" if slower else f"none of {len(ratios)} is"
    met = "NOT met" if slower else "met" if ratios else "not known, for lack of quiet"
    return f"no workload slower with {THREADS} threads than with 1, but for {NOISE:.0%}: {which}, {met}"

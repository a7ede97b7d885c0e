"""How much longer `import minipar` takes than `import numpy`: fresh processes in turn, medians and their ratio.

python benchmarks/import_time.py [rounds]
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

PROGRAMS = {"python": "pass", "numpy": "import numpy", "minipar": "import minipar"}
# Bytecode is kept, as in ordinary use: else every process would compile minipar anew, and NumPy's lies there already.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def seconds(program: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", program], check=True, env=ENVIRONMENT)
    return time.perf_counter() - started


def main(rounds: int) -> None:
    for program in PROGRAMS.values():
        seconds(program)  # compiles to bytecode, fills the page cache
    taken = [{name: seconds(program) for name, program in PROGRAMS.items()} for _ in range(rounds)]
    medians = {name: statistics.median(row[name] for row in taken) for name in PROGRAMS}
    ratio = statistics.median(row["minipar"] / row["numpy"] for row in taken)
    print(", ".join(f"{name} {1e3 * median:.0f} ms" for name, median in medians.items()))
    print(f"import minipar / import numpy: {ratio:.2f} (median of {rounds} pairs)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 31)

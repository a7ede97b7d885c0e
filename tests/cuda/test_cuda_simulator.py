"""Numba's own simulator runs the kernels too, and agrees with the interpreter."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_numbas_simulator_agrees_with_the_interpreter():
    environment = {
        **os.environ,
        "NUMBA_ENABLE_CUDASIM": "1",  # read when numba.cuda is imported, hence a process of its own
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]),
    }
    program = Path(__file__).with_name("simulator_program.py")
    done = subprocess.run(
        [sys.executable, str(program)], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("agree") == 28

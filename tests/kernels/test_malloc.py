"""Memory that a step frees stays with the process, once compiled kernels are in use."""

import os
import subprocess
import sys

import pytest

STEPS = """
import resource
import numpy as np
{first}
def step():
    return sum(float(np.ones(200_000, np.float32)[-1] + np.ones(300_000, np.float32)[0]) for _ in range(10))
for _ in range(5):
    step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sets glibc's malloc, which is Linux's")
def test_a_repeated_step_touches_no_new_page():
    pytest.importorskip("numba", reason="pip install numba")
    code = STEPS.format(first="import minipar.kernels.cpu.compile")
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, env=plain)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 100


def test_what_the_user_has_set_stays(monkeypatch):
    from minipar.kernels.cpu import malloc

    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "100000")
    assert not malloc.keep_freed_memory()

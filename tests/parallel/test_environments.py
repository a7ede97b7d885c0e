"""Ranks start from wherever a user may be: a thread that ends, a notebook, a pipe, pytest-xdist, a small /dev/shm."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from minipar import parallel
from minipar.parallel.comm import shared_memory

cloudpickle.register_pickle_by_value(sys.modules[__name__])
ROOT = Path(__file__).parents[2]


def run(command, **options):
    options = {"capture_output": True, "text": True, "timeout": 100, "stdin": subprocess.DEVNULL} | options
    if options.get("input") is not None:
        del options["stdin"]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(list(map(str, command)), env=variables, **options)


def total(comm):
    return float(comm.all_reduce(np.array([comm.rank + 1.0]))[0])


# -- threads -----------------------------------------------------------------------------------------------------------


def test_launches_from_an_executors_threads():
    with ThreadPoolExecutor(2) as executor:
        launched = [executor.submit(parallel.launch, total, workers=workers) for workers in (1, 2)]
        assert [future.result() for future in launched] == [[1.0], [3.0, 3.0]]


def test_a_pool_made_and_used_in_an_executors_thread():
    with ThreadPoolExecutor(1) as executor:
        pool = executor.submit(parallel.Pool, 2).result()
        assert [executor.submit(pool.run, total).result() for _ in range(2)] == [[3.0, 3.0]] * 2
        executor.submit(pool.close).result()


def test_a_pool_whose_thread_has_ended_says_so():
    """Linux ends a worker with the *thread* that started it."""
    with ThreadPoolExecutor(1, thread_name_prefix="maker") as executor:
        pool = executor.submit(parallel.Pool, 2).result()
    with pytest.raises(RuntimeError, match=r"belongs to thread 'maker_0', and thread 'MainThread' used it"):
        pool.run(total)
    pool.close()


# -- notebooks ---------------------------------------------------------------------------------------------------------

CELLS = (
    """
import time
import numpy as np
from minipar import parallel
offset = 10
def add(comm):
    return int(comm.all_reduce(np.array([comm.rank + offset]))[0])
print(parallel.launch(add), parallel.launch(lambda comm: add(comm) + 1, backend="thread"))
""",
    """
def stay(comm):
    comm.barrier()
    if comm.rank == 1:
        time.sleep(0.3)
        raise ValueError("boom")
    comm.recv(1)
try:
    parallel.launch(stay)
except parallel.WorkerError as error:
    print(error)
    import traceback
    print("traceback ends in", traceback.extract_tb(error.__traceback__)[-1].name)
""",
)


def told_by_ipython(folder):
    lines = ["from IPython.core.interactiveshell import InteractiveShell", "shell = InteractiveShell.instance()"]
    lines += [f"shell.run_cell({cell.lstrip()!r}, store_history=True).raise_error()" for cell in CELLS]
    done = run([sys.executable, "-c", "\n".join(lines)], cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


CLIENT = """
import nbformat, os, sys
from nbclient import NotebookClient
notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in sys.argv[1:]])
NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
print("".join(output.get("text", "") for cell in notebook.cells for output in cell.outputs))
"""


def told_by_a_notebook(folder):
    pytest.importorskip("nbclient", reason="needs nbclient: pip install nbmake")
    done = run([sys.executable, "-c", CLIENT, *(cell.strip() for cell in CELLS)], cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("tell", [told_by_ipython, told_by_a_notebook])
def test_functions_of_a_notebook(tell, tmp_path):
    pytest.importorskip("ipykernel", reason="needs ipykernel: pip install ipykernel")
    told = tell(tmp_path)
    assert "[21, 21] [22, 22]" in told
    assert '  Cell In[2], line 5, in stay\n    raise ValueError("boom")\n' in told  # its source, which only it has
    assert "traceback ends in <module>" in told
    assert "rank 0: in recv from rank 1, tag 0, at Cell In[2]:6 in stay" in told


def test_ipython_with_a_command(tmp_path):
    pytest.importorskip("IPython", reason="needs IPython: pip install ipykernel")
    code = "from minipar import parallel; print(parallel.launch(lambda comm: comm.rank))"
    done = run([sys.executable, "-m", "IPython", "--no-banner", "--ipython-dir", tmp_path, "-c", code], cwd=tmp_path)
    assert "[0, 1]" in done.stdout, done.stderr


# -- scripts without a file ------------------------------------------------------------------------------------------

NO_FILE = """
from minipar import parallel
import time
def stay(comm):
    comm.barrier()
    if comm.rank == 1:
        time.sleep(0.3)
        raise ValueError("boom")
    comm.recv(1)
with parallel.Pool(2) as pool:
    print(pool.run(lambda comm: comm.rank), pool.run(lambda comm: comm.size))
    try:
        pool.run(stay)
    except parallel.WorkerError as error:
        print(error)
"""


@pytest.mark.parametrize("way", ["-c", "stdin"])
def test_a_pool_of_a_script_without_a_file(way):
    done = run([sys.executable, "-c", NO_FILE]) if way == "-c" else run([sys.executable, "-"], input=NO_FILE)
    assert done.returncode == 0, done.stderr
    assert "[0, 1] [2, 2]" in done.stdout
    name = {"-c": "<string>", "stdin": "<stdin>"}[way]
    assert f'  File "{name}", line 8, in stay\n' in done.stdout
    assert f"rank 0: in recv from rank 1, tag 0, at {name}:9 in stay" in done.stdout


# -- under pytest-xdist ------------------------------------------------------------------------------------------------

TESTS = """
import numpy as np
import pytest
from minipar import parallel

@pytest.mark.parametrize("number", range(4))
def test_launch(number, worker_id):
    def work(comm):
        return float(comm.all_reduce(np.array([comm.rank + number]))[0])
    assert worker_id.startswith("gw")
    assert parallel.launch(work) == [1.0 + 2 * number] * 2

def test_failure():
    with pytest.raises(parallel.WorkerError, match="rank 1 raised ZeroDivisionError"):
        parallel.launch(lambda comm: 1 / (1 - comm.rank))
"""


def test_under_xdist(tmp_path):
    pytest.importorskip("xdist", reason="needs pytest-xdist: pip install pytest-xdist")
    (tmp_path / "test_it.py").write_text(TESTS)
    done = run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n",
            "2",
            "-p",
            "no:cacheprovider",
            f"--basetemp={tmp_path / 'of_tests'}",
            tmp_path,
        ],
        cwd=tmp_path,
    )
    assert "5 passed" in done.stdout, done.stdout + done.stderr


# -- memory ------------------------------------------------------------------------------------------------------------

LARGE = """
import os
import numpy as np
from minipar import parallel

def work(comm):
    n = 100 << 18  # 100 MB of float32
    private = comm.all_reduce(np.full(n, comm.rank + 1.0, np.float32))
    shared = comm.empty(n, np.float32)
    shared[:] = comm.rank + 1
    comm.all_reduce(shared)
    return float(private.sum(dtype=np.float64)) / n, float(shared.sum(dtype=np.float64)) / n

place = os.statvfs("/dev/shm")
print(place.f_frsize * place.f_blocks >> 20, "MB:", parallel.launch(work))
"""
SMALL = "mount -t tmpfs -o size=64m tmpfs /dev/shm"


def test_arrays_larger_than_a_containers_dev_shm():
    unshare = ["unshare", "--mount", "--map-root-user", "sh", "-c"]
    try:
        allowed = run([*unshare, SMALL])
    except FileNotFoundError:
        pytest.skip("needs unshare (util-linux)")
    if allowed.returncode:
        pytest.skip(f"this kernel or container allows no mounts of our own: {allowed.stderr.strip()}")
    done = run([*unshare, f'{SMALL} && exec "$@"', "sh", sys.executable, "-c", LARGE])
    assert done.stdout == "64 MB: [(3.0, 3.0), (3.0, 3.0)]\n", done.stderr


def test_more_memory_than_there_is(monkeypatch):
    """Before any rank starts, and inside a rank: an OSError that says what was wanted, not a bus error."""

    def work(comm):
        shared_memory.available_memory = lambda: 1 << 20
        comm.empty(1 << 20, np.float64)

    with pytest.raises(
        parallel.WorkerError, match=r"raised OSError: .*cannot reserve .*16\.0 MiB of shared memory: on"
    ):
        parallel.launch(work, timeout=10)
    monkeypatch.setattr(shared_memory, "available_memory", lambda: 1 << 10)
    with pytest.raises(OSError, match=r"cannot reserve .* MiB of shared memory: only 0\.0 MiB are available"):
        parallel.launch(total)

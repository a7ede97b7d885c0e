"""Compiled once a machine: laziness, the key, the lock, and what happens without a usable folder."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import minipar.kernels

ROOT = Path(minipar.kernels.__file__).parent
USE = """
import numpy as np
from minipar.kernels.cpu import optimizer_steps
p = np.ones(3)
optimizer_steps.sgd_step(p, np.ones(3), None, 0.25, 0, 0, 0, False, False, False)
assert p.tolist() == [0.75] * 3
"""
COMPILING = "minipar: compiling optimizer_steps._sgd, once on this machine…"


def start(folder, source=USE, *arguments, pythonpath=None) -> subprocess.Popen:
    environment = {**os.environ, "MINIPAR_CACHE": str(folder), "PYTHONIOENCODING": "utf-8"}
    environment["PYTHONPATH"] = str(pythonpath or Path(minipar.__file__).parent.parent)
    command = [sys.executable, "-P", "-c", source, *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, encoding="utf-8", env=environment)


def finish(process: subprocess.Popen) -> list[str]:
    """The process's stderr lines; it must have succeeded."""
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return errors.splitlines()


def test_four_processes_on_a_cold_cache_compile_each_kernel_once(tmp_path):
    """They start together and want three kernels in different orders."""
    go = tmp_path / "go"
    source = f"""
import sys, time
from pathlib import Path
import numpy as np
from minipar.kernels.cpu import optimizer_steps
x = np.ones(4, np.float32)
steps = [
    lambda: optimizer_steps.sgd_step(x, x.copy(), None, 0.1, 0, 0, 0, False, False, False),
    lambda: optimizer_steps.adam_step(x, x.copy(), x.copy(), x.copy(), 1, 0.1, 0.9, 0.99, 1e-8, 0, False),
    lambda: optimizer_steps.sgd_step(x, x.copy(), x.copy(), 0.1, 0.9, 0, 0, False, False, False),
]
while not Path({str(go)!r}).exists():
    time.sleep(0.01)
for k in range(3):
    steps[(k + int(sys.argv[1])) % 3]()
"""
    processes = [start(tmp_path / "cache", source, str(number)) for number in range(4)]
    go.touch()
    lines = sorted(line for process in processes for line in finish(process))
    assert lines == sorted(
        f"minipar: compiling {name}, once on this machine…"
        for name in ("optimizer_steps._sgd", "optimizer_steps._adam", "optimizer_steps._momentum")
    )
    assert len(list(tmp_path.rglob("*.kernel"))) == 3


HELPERS = """
import sys, time
from pathlib import Path
import numpy as np
from minipar.kernels.cpu import pack
from minipar.kernels.cpu.compile import compiled
from minipar.kernels.cpu.vectors import pointer

@compiled(["void(float32[:,::1], float32[:,::1])"])
def turned(x, to):
    pack._transpose(pointer(x), 1, 4, pointer(to), 16, 8, 4)

@compiled(["void(float32[:,::1], float32[:,::1])"])
def copied(x, to):
    pack._copy_rows(pointer(x), 4, 1, pointer(to), 16, 4, 8)

go = Path(sys.argv[1])
print("ready", file=sys.stderr, flush=True)
while not go.exists():
    time.sleep(0.01)
kernels = [turned, copied]
for k in range(2):
    x, to = np.arange(32, dtype=np.float32).reshape(8, 4), np.zeros((8, 16), np.float32)
    kernel = kernels[(k + int(sys.argv[2])) % 2]
    kernel(x, to)
    assert (to[:4, :8] == x.T).all() if kernel is turned else (to[:, :4] == x).all()
"""


def test_four_processes_compile_what_their_kernels_call_once_and_nothing_else(tmp_path):
    """Importing compiles nothing; of the helpers, those that are called, of the dtype that they are called for."""
    (tmp_path / "script.py").write_text(HELPERS)
    use = f"import runpy, sys; runpy.run_path({str(tmp_path / 'script.py')!r})"
    go = tmp_path / "go"
    processes = [start(tmp_path / "cache", use, str(go), str(number)) for number in range(4)]
    for process in processes:
        assert process.stderr.readline() == "ready\n", process.communicate()
    assert not list(tmp_path.rglob("*.kernel"))
    go.touch()
    lines = sorted(line for process in processes for line in finish(process))
    names = ("<run_path>.copied", "<run_path>.turned", "pack_copy_rows.float32", "pack_transpose.float32")
    assert lines == [f"minipar: compiling {name}, once on this machine…" for name in names]
    assert len(list(tmp_path.rglob("*.kernel"))) == 4
    assert finish(start(tmp_path / "cache", use, str(go), "0")) == ["ready"]  # from the cache, with what they call


def test_a_kernel_that_calls_what_is_not_here_is_not_loaded():
    """Machine code that calls an unknown name ends the process."""
    from minipar.kernels.cpu import dots, machine_code

    assert dots.__name__
    assert machine_code.link_all(["minipar.dots.float32"])
    assert not machine_code.link_all(["minipar.dots.float32", "minipar.no_such_helper"])


def test_a_warm_cache_compiles_nothing(tmp_path):
    assert finish(start(tmp_path)) == [COMPILING]
    assert finish(start(tmp_path)) == []


def test_an_unusable_folder_means_no_cache_not_no_kernel(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    (line,) = finish(start(tmp_path / "file"))
    assert line.endswith("compiling optimizer_steps._sgd, anew in each process (see `minipar doctor`)…")
    assert (tmp_path / "file").read_text() == "not a folder"


def test_a_damaged_entry_is_compiled_anew(tmp_path):
    finish(start(tmp_path))
    (entry,) = tmp_path.rglob("*.kernel")
    whole = entry.read_bytes()
    entry.write_bytes(whole[: len(whole) // 2])
    assert finish(start(tmp_path)) == [COMPILING]
    assert finish(start(tmp_path)) == []


def test_an_edit_in_a_source_that_the_kernel_can_reach_is_a_new_key(tmp_path):
    library = tmp_path / "library"
    shutil.copytree(Path(minipar.__file__).parent, library / "minipar", ignore=shutil.ignore_patterns("kernels"))
    shutil.copytree(ROOT, library / "minipar" / "kernels")
    cache, sources = tmp_path / "cache", library / "minipar" / "kernels" / "cpu"
    assert finish(start(cache, pythonpath=library)) == [COMPILING]
    for source, lines in (("optimizer_steps", [COMPILING]), ("compile", [COMPILING]), ("adaptive_steps", [])):
        with open(sources / f"{source}.py", "a") as file:
            file.write("# edited\n")
        assert finish(start(cache, pythonpath=library)) == lines, source
        assert finish(start(cache, pythonpath=library)) == [], source


def test_the_users_cache_folder_is_the_default(tmp_path, monkeypatch):
    from minipar.kernels.cpu.cache import cache_root

    monkeypatch.delenv("MINIPAR_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "minipar"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_root() == tmp_path / ".cache" / "minipar"


def test_compile_all_compiles_every_signature(tmp_path):
    source = "from minipar.kernels.cpu.squared_error import _loss; _loss.compile_all()"
    assert finish(start(tmp_path, source)) == ["minipar: compiling squared_error._loss, once on this machine…"] * 2
    assert len(list(tmp_path.rglob("squared_error._loss-*.kernel"))) == 2


def test_the_text_of_a_kernel_runs_as_plain_python():
    import numpy as np

    from minipar.kernels.cpu.squared_error import _loss

    loss = np.ones(())
    _loss.py_func(np.ones(3), np.full(3, 3.0), False, loss)
    assert loss == 12


def test_what_nobody_loads_for_long_is_forgotten(tmp_path):
    finish(start(tmp_path))
    (used,) = tmp_path.rglob("*.kernel")
    old = [used.with_name(name) for name in ("edited-0123.kernel", "broken-off.part")]
    for path in (used, *old):
        path.touch()
        os.utime(path, (0, 0))
    assert finish(start(tmp_path)) == []  # loading is using
    assert used.stat().st_mtime > 0
    finish(start(tmp_path, USE.replace("np.ones(3)", "np.ones(3, np.float32)")))
    assert used.exists()
    assert not any(path.exists() for path in old)
    assert len(list(tmp_path.rglob("*.kernel"))) == 2


def test_an_edit_in_the_file_of_a_function_that_a_factory_was_given_is_a_new_key(tmp_path):
    (tmp_path / "factory.py").write_text(DOUBLING)
    text = "import factory\n\n@factory.doubled\ndef f(x):\n    return x\n\nassert f(2) == 4\n"
    (tmp_path / "script.py").write_text(text)
    use = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import script"
    assert len(finish(start(tmp_path / "cache", use))) == 1
    assert finish(start(tmp_path / "cache", use)) == []
    (tmp_path / "script.py").write_text(text.replace("return x", "return -x").replace("== 4", "== -4"))
    assert len(finish(start(tmp_path / "cache", use))) == 1


DOUBLING = """
from numba import njit
from minipar.kernels.cpu.compile import compiled

def doubled(function):
    inner = njit(function)

    @compiled(["int64(int64)"])
    def kernel(x):
        return 2 * inner(x)

    return kernel
"""


def test_a_kernel_may_call_another_of_its_name(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(NESTED)
    use = f"import runpy; runpy.run_path({str(script)!r})"
    assert len(finish(start(tmp_path / "cache", use))) == 2
    assert finish(start(tmp_path / "cache", use)) == []


NESTED = """
from minipar.kernels.cpu.compile import compiled

def make(inner):
    @compiled(["int64(int64)"])
    def kernel(x):
        return x + 1 if inner is None else 10 * inner(x)

    return kernel

assert make(make(None))(4) == 50
"""

FACTORY = """
import numpy as np
from minipar.kernels.cpu.compile import compiled

def adder(number):
    @compiled(["void(float64[:])"])
    def add(x):
        x[0] += number

    return add

x = np.zeros(1)
adder(1.0)(x), adder(2.0)(x)
assert x[0] == 3
"""


def test_two_kernels_of_one_text_are_told_apart_by_what_they_close_over(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(FACTORY)
    use = f"import runpy; runpy.run_path({str(script)!r})"
    assert len(finish(start(tmp_path / "cache", use))) == 2
    assert finish(start(tmp_path / "cache", use)) == []


INNER = """
import sys
import numpy as np
from numba import njit
from minipar.kernels.cpu.compile import compiled

def kernel(number):
    @njit(error_model="numpy")
    def inner(x):  # too long to become part of what calls it
        total = 0.0
        for i in range(len(x)):
            total += np.sin(x[i]) * number + np.cos(x[i] * number)
            if total > 1e9:
                total = total % 7.0
        return total

    @compiled(["float64(float64[::1])"])
    def outer(x):
        return inner(x) + inner(x[1:])

    return outer

x = np.arange(5.0)
for number in map(float, sys.argv[1:]):
    assert kernel(number)(x) == kernel(number).py_func(x), number
"""


def test_inner_functions_of_one_name_from_two_processes_are_not_mistaken_for_each_other(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(INNER)
    use = f"import runpy, sys; sys.argv[0] = 'script'; runpy.run_path({str(script)!r})"
    for numbers in (["1"], ["1000"], ["1", "1000"], ["1000", "1"]):
        finish(start(tmp_path / "cache", use, *numbers))


def test_two_threads_that_call_first_leave_calls_that_are_resolved():
    """Both resolve the call. What they find must be entered once: else no later call is resolved by it."""
    from threading import Barrier, Thread

    import numpy as np
    import pytest

    from minipar.kernels.cpu.compile import Kernel, compiled

    @compiled(["float64(float64[:,:])"])
    def first(x):
        return x[0, 0]

    x, both = np.full((3, 2), 5.0), Barrier(2, timeout=30)
    resolve = Kernel._compile_for_args
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Kernel, "_compile_for_args", lambda k, *a: (both.wait(), resolve(k, *a))[1])
        threads = [Thread(target=first, args=(x,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    resolved = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Kernel, "_compile_for_args", lambda k, *a: resolved.append(a) or resolve(k, *a))
        assert first(x) == first(x) == 5
    assert not resolved


def test_arguments_that_fit_are_resolved_once_and_others_refused():
    import numpy as np
    import pytest

    from minipar.kernels.cpu.compile import Kernel, compiled

    @compiled(["float64(float64[:,:], float64)"])
    def scaled(x, factor):
        return x[0, 0] * factor

    resolved = []
    compile_for_args = Kernel._compile_for_args
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Kernel, "_compile_for_args", lambda k, *a: resolved.append(a) or compile_for_args(k, *a))
        x = np.full((3, 2), 5.0)
        for _ in range(3):
            assert scaled(x, 2.0) == scaled(x.T, 2.0) == scaled(x[::-1], 2) == scaled(np.asfortranarray(x), 2) == 10
    assert len(resolved) <= 4  # each kind of call once
    for wrong in ((x.astype(np.float32), 2.0), (x[0], 2.0), (x, 2j), (x, None), (x,)):
        with pytest.raises(TypeError):
            scaled(*wrong)

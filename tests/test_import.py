"""What `import minipar` loads, and from where minipar.kernels can be imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run_python(code: str, **kwargs) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, **kwargs)


def test_import_loads_numpy_and_nothing_heavy():
    code = (
        "import sys, minipar; minipar.ones(2).sum(); "
        "print(*(m for m in ('numba', 'cupy', 'multiprocessing', 'mpi4py', 'matplotlib', 'tqdm', 'safetensors', "
        "'minipar.nn', 'minipar.optim', 'minipar.functions', 'minipar.parallel', 'minipar.cli') if m in sys.modules))"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_import_costs_little_more_than_numpys():
    """Counted, since no test trusts a clock: a file of ours takes about 0.2 ms, the bar is half of NumPy's 80."""
    code = "import sys, numpy; before = set(sys.modules); import minipar; print(*sorted(set(sys.modules) - before))"
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    others = {name for name in loaded if name.partition(".")[0] not in ("minipar", "org")}  # org: copy asks for Jython
    assert others <= {"__future__", "_heapq", "copy", "heapq", "importlib.util", "threading"}
    assert 50 < sum(name.partition(".")[0] == "minipar" for name in loaded) <= 106


@pytest.mark.parametrize("name", ["parallel", "data", "nn", "optim", "viz"])
def test_lazy_rooms_are_attributes(name):
    assert run_python(f"import minipar; print(minipar.{name}.__name__)").stdout.strip() == f"minipar.{name}"


def test_what_loads_later_is_there_all_the_same():
    code = (
        "import minipar; from minipar import nn, conv2d; assert 'relu_' in dir(minipar); assert minipar.relu_; "
        "assert conv2d is nn.functional.conv2d is minipar.conv2d; assert 'conv2d' in vars(minipar); "
        "assert all(hasattr(minipar, name) for name in minipar.__all__); from minipar import *; print(clone(ones(1)))"
    )
    done = run_python(code)
    assert done.stdout.strip() == "tensor([1.])", done.stderr


def test_what_is_imported_is_what_is_public():
    """A name stands twice in minipar/__init__.py: where it comes from, and in `__all__`, which type checkers read."""
    code = (
        "import minipar, types; later = set(minipar._later.places); "
        "assert not [name for name in later if name in vars(minipar)]; "
        "now = {n for n, x in vars(minipar).items() if not n.startswith('_') and not isinstance(x, types.ModuleType)}; "
        "print(*sorted(set(minipar.__all__) ^ (now | later))); print(len(minipar.__all__) - len(set(minipar.__all__)))"
    )
    done = run_python(code)  # einops may not be installed, so that `import *` had better leave it out
    assert done.stdout.splitlines() == ["__version__ autograd backend einops random", "0"], done.stderr


def test_other_modules_import_while_ours_are_put_off():
    code = (
        "import sys; from minipar.later import Later\n"
        "later = Later(globals())\n"
        "with later:\n"
        "    from .colours import mauve as lilac\n"
        "    exec('from string import digits as seen', elsewhere := {})\n"
        "print(later.places['lilac'].module, later.places['lilac'].own_name, elsewhere['seen'], 'lilac' in globals())\n"
        "try:\n"
        "    with later:\n"
        "        raise KeyError\n"
        "except KeyError:\n"
        "    import colorsys; print(colorsys.__name__)"
    )
    done = run_python(code)
    expected = "colours mauve 0123456789 False\ncolorsys\n"
    assert done.stdout == expected, done.stderr


def test_unknown_attribute_is_an_attribute_error():
    done = run_python("import minipar; minipar.nonsense")
    assert "AttributeError: module 'minipar' has no attribute 'nonsense'" in done.stderr


def test_kernels_from_a_plain_checkout_without_an_install(tmp_path):
    """-S leaves out site-packages: NumPy is found through its own folder, minipar through the checkout."""
    import numpy

    site = Path(numpy.__file__).resolve().parent.parent
    code = (
        f"import sys; sys.path += [{str(ROOT)!r}, {str(site)!r}]; import minipar.kernels.reference.conv2d as k; "
        "print(k.__file__, k.__name__)"
    )
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert done.returncode == 0, done.stderr
    file, name = done.stdout.split()
    assert Path(file) == ROOT / "kernels/reference/conv2d.py"
    assert name == "minipar.kernels.reference.conv2d"


def test_kernels_under_another_name_is_refused():
    done = run_python("import kernels", cwd=ROOT)
    assert done.returncode != 0
    assert "import this package as minipar.kernels" in done.stderr


def test_a_wheels_layout_needs_no_finder(tmp_path):
    """In a wheel kernels/ lies inside minipar/; the finder of the checkout must not be installed."""
    import shutil

    shutil.copytree(ROOT / "minipar", tmp_path / "minipar", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "kernels", tmp_path / "minipar/kernels", ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import sys, minipar, minipar.kernels.reference.pool2d as k; "
        "print(k.__file__, any('SourceKernels' in repr(f) for f in sys.meta_path))"
    )
    done = run_python(code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    file, found = done.stdout.split()
    assert Path(file).is_relative_to(tmp_path)
    assert found == "False"

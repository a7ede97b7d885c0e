"""`minipar doctor --warm`: finds every kernel, compiles what is missing, counts, and says where it lies."""

from __future__ import annotations

import re

import pytest

from minipar.cli import doctor, main, warm
from minipar.kernels.cpu import cache
from minipar.kernels.cpu.compile import Kernel
from minipar.kernels.cpu.machine_code import Helper


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """An empty cache, and instead of the kernels (which take minutes) two that take none."""
    monkeypatch.setenv("MINIPAR_CACHE", str(tmp_path))
    cache.kernel_folder.cache_clear()
    monkeypatch.setattr(warm, "all_kernels", lambda: two)
    monkeypatch.setattr(doctor, "all_kernels", lambda: two)
    two = [Small("one"), Small("two")]
    yield tmp_path / "cpu"
    cache.kernel_folder.cache_clear()


class Small:
    def __init__(self, name):
        self.name = name

    def is_cached(self):
        return (cache.kernel_folder() / self.name).exists()

    def compile_all(self, announce):
        assert not announce
        (cache.kernel_folder() / self.name).touch()


def test_every_kernel_of_the_folder_is_found_and_what_they_call():
    kernels = [each.name for each in warm.all_kernels() if isinstance(each, Kernel)]
    helpers = [each.name for each in warm.all_kernels() if isinstance(each, Helper)]
    assert helpers + kernels == [each.name for each in warm.all_kernels()]
    assert kernels == sorted(kernels)
    assert {"optimizer_steps._adam", "optimizer_steps._sgd"} <= set(kernels)
    assert {"minipar.shared.gemm.product.float32", "minipar.dots.float64"} <= set(helpers)


def test_it_counts_and_says_where_they_lie(folder, capsys):
    assert main(["doctor", "--warm"]) == 0
    first, *lines, last = capsys.readouterr().out.splitlines()
    assert first == f"2 kernels, 2 of them to compile, into {folder}"
    assert [re.sub(r" +\d\.\d s", "", line) for line in lines] == ["    1 of 2  one", "    2 of 2  two"]
    assert re.fullmatch(r"all 2 are compiled; this took \d+ s, once on this machine", last)
    assert main(["doctor", "--warm"]) == 0
    assert "2 kernels, 0 of them to compile" in capsys.readouterr().out


def test_the_doctor_says_how_many_wait(folder):
    (finding,) = [line for line in doctor._processor() if line.name == "kernel cache"]
    assert finding.text == f"0 of 2 kernels compiled, in {folder.parent}; `minipar doctor --warm` compiles the rest"
    warm.warm()
    (finding,) = [line for line in doctor._processor() if line.name == "kernel cache"]
    assert finding.text == f"2 of 2 kernels compiled, in {folder.parent}"


def test_without_a_folder_nothing_is_compiled(folder, capsys, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("MINIPAR_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(Small, "is_cached", lambda kernel: False)
    assert main(["doctor", "--warm"]) == 1
    assert "no folder can be written" in capsys.readouterr().out


def test_without_numba_there_is_nothing_to_compile(capsys, monkeypatch):
    monkeypatch.setattr(warm, "find_spec", lambda name: None)
    assert main(["doctor", "--warm"]) == 1
    assert "numba is not installed" in capsys.readouterr().out

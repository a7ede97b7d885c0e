"""Every CUDA kernel broken on purpose: each dropped barrier, swapped index and missing check is noticed, or explained.

What is broken, and what must notice, is in a table for each family: ``matmul_mutants``, ``convolution_mutants``,
``fused_mutants``. The files as they are must pass the same checks, so a check that always fails would be noticed, too.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import convolution_mutants
import fused_mutants
import matmul_mutants
import pytest
import recurrent_mutants
from breaking import Subject, broken, noticed
from mutants import Mutant, maker

import minipar.kernels.cuda as kernels

SUBJECTS = [
    *matmul_mutants.SUBJECTS,
    *convolution_mutants.SUBJECTS,
    *fused_mutants.SUBJECTS,
    *recurrent_mutants.SUBJECTS,
]
SLOW = ("off by one", "no sum", "once more")  # of the kinds that are made by rule
FILES = [path for path in Path(kernels.__file__).parent.rglob("*.py") if "-> Kernel:" in path.read_text()]


def cases() -> Iterator[object]:
    for subject in SUBJECTS:
        for mutant in subject.mutants:
            name = f"{subject.name}, {mutant.kind}: {mutant.old} -> {mutant.new}"
            yield pytest.param(subject, mutant, id=name, marks=[pytest.mark.slow] if mutant.kind in SLOW else [])


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_the_files_as_they_are_pass(subject, tmp_path):
    with broken(subject.file, Path(subject.file.__file__).read_text(), tmp_path):
        assert subject.right()


@pytest.mark.parametrize(("subject", "mutant"), list(cases()))
def test_a_broken_kernel_is_noticed(subject: Subject, mutant: Mutant, tmp_path):
    assert noticed(subject, mutant, tmp_path) or mutant.old in subject.explained


def test_every_file_with_a_kernel_is_broken():
    assert len(FILES) > 6
    assert {file.stem for file in FILES} <= {Path(subject.file.__file__).stem for subject in SUBJECTS}


def test_every_barrier_is_dropped():
    for file in {subject.file for subject in SUBJECTS}:
        mutants = [mutant for subject in SUBJECTS if subject.file is file for mutant in subject.mutants]
        dropped = {mutant.line for mutant in mutants if mutant.kind == "no barrier"}
        assert len(dropped) == Path(file.__file__).read_text().count("cuda.syncthreads()"), file.__name__


def test_every_condition_of_a_product_has_its_mutants():
    """Counted in the text, so that an edit that is not seen by rule is missed here."""
    for subject in matmul_mutants.SUBJECTS:
        source = ast.unparse(maker(subject.file, subject.name))
        kinds = Counter(mutant.kind for mutant in subject.mutants)
        assert kinds["no check"] >= source.count("if row < M")
        assert kinds["swapped"] or subject.name == "unrolled"  # which has no index of its own

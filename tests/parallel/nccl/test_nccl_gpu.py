"""NCCL on real GPUs: a world of one on one GPU, two ranks on one where NCCL allows that, everything on two or more.

Without a GPU the same programs run over the stand-in (test_nccl_calls.py).
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable

import cloudpickle
import numpy as np
import pytest

import minipar
from minipar import nn, parallel
from minipar.kernels.cuda import detect
from minipar.parallel.equivalence import assert_same_run
from tests.cupy_double import test_cupy_mixed_ranks
from tests.cupy_double.test_cupy_mixed_ranks import on_own_device, training_of
from tests.parallel.nccl import nccl_programs
from tests.parallel.nccl.nccl_programs import check_every_call, every_call, train
from tests.parallel.nccl.test_nccl_strategies import LAYOUTS

for module in (sys.modules[__name__], nccl_programs, test_cupy_mixed_ranks):
    cloudpickle.register_pickle_by_value(module)

usable, reason = detect.status()
gpus = minipar.cuda.device_count() if usable else 0


def nccl_version() -> int:
    if not usable:
        return 0
    from cupy.cuda import nccl

    return nccl.get_version() if nccl.available else 0


pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not usable, reason=f"needs a GPU: {reason}"),
    pytest.mark.skipif(usable and not nccl_version(), reason='needs NCCL beside the GPU: pip install ".[gpu]"'),
]
on_two_gpus = pytest.mark.skipif(gpus < 2, reason=f"needs a GPU for each of two ranks; there are {gpus}")
SHARED = {"NCCL_MULTI_RANK_GPU_ENABLE": "1", "NCCL_NVLS_ENABLE": "0", "NCCL_MAX_CTAS": "2"}


def equal_to_one_process(by_rank: list[list[np.ndarray]]) -> None:
    (alone,) = parallel.launch(train, workers=1)
    for parameters in by_rank:
        for ours, theirs in zip(parameters, alone):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_a_world_of_one() -> None:
    check_every_call(parallel.launch(every_call, workers=1, backend="nccl"))
    equal_to_one_process(parallel.launch(train, workers=1, backend="nccl"))


@pytest.mark.skipif(nccl_version() < 23000, reason=f"needs NCCL 2.30 for two ranks on one GPU, not {nccl_version()}")
def test_two_ranks_on_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SHARED.items():
        monkeypatch.setenv(name, value)
    devices = ["cuda:0", "cuda:0"]
    check_every_call(parallel.launch(every_call, workers=2, backend="nccl", devices=devices))
    equal_to_one_process(parallel.launch(train, workers=2, backend="nccl", devices=devices))


def test_two_ranks_on_one_gpu_are_refused_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NCCL_MULTI_RANK_GPU_ENABLE", raising=False)
    with pytest.raises(parallel.WorkerError, match="over_nccl: ranks 0, 1 have the same GPU"):
        parallel.launch(every_call, workers=2, backend="nccl", devices=["cuda:0", "cuda:0"])


@on_two_gpus
@pytest.mark.parametrize("debug", ["1", "0"])
@pytest.mark.parametrize("backend", ["nccl", "thread"])
def test_every_call_on_all_gpus(backend: str, debug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranks as threads, too: NCCL takes a process with several GPUs."""
    monkeypatch.setenv("MINIPAR_DEBUG", debug)

    def fn(comm: parallel.Communicator) -> dict[str, np.ndarray | None]:
        return every_call(comm if backend == "nccl" else parallel.over_nccl(comm))

    devices = [f"cuda:{rank}" for rank in range(gpus)]
    check_every_call(parallel.launch(fn, workers=gpus, backend=backend, devices=devices))


@on_two_gpus
def test_training_on_all_gpus() -> None:
    equal_to_one_process(parallel.launch(train, workers=gpus, backend="nccl"))


@on_two_gpus
@pytest.mark.parametrize(
    ("make", "name"), [(make, name) for make, name, _ in LAYOUTS if parallel.Layout.parse(name).ranks == 2]
)
def test_every_strategy_on_two_gpus(make: Callable[[], nn.Module], name: str) -> None:
    training, layout = training_of(make), parallel.Layout.parse(name)
    for run in parallel.launch(on_own_device, training, layout, workers=2, backend="nccl"):
        assert_same_run(run, training.in_one_process(), 1e-10, name)


@on_two_gpus
@pytest.mark.parametrize("debug", ["1", "0"])
def test_a_rank_that_is_killed_ends_the_wait_of_the_others(debug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIPAR_DEBUG", debug)

    def fn(comm: parallel.Communicator) -> None:
        ones = minipar.ones(1000, device="cuda").array
        comm.all_reduce(ones)
        if comm.rank == 1:
            time.sleep(0.5)
            os.kill(os.getpid(), signal.SIGKILL)
        comm.all_reduce(ones)

    with pytest.raises(parallel.WorkerError, match="rank 1 was killed"):
        parallel.launch(fn, workers=2, backend="nccl")


@on_two_gpus
@pytest.mark.parametrize("name", ["all_reduce", "broadcast", "all_gather"])  # the latter two connect
def test_a_rank_that_is_late_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIPAR_DEBUG", "0")  # so that it is NCCL that waits

    def fn(comm: parallel.Communicator) -> None:
        ones = minipar.ones(1000, device="cuda").array
        comm.all_reduce(ones)
        comm.timeout = 1.0
        if comm.rank == 1:
            time.sleep(5.0)
        getattr(comm, name)(ones)

    with pytest.raises(parallel.WorkerError, match="waited 1 s: rank 1 is running user code after all_reduce #1"):
        parallel.launch(fn, workers=2, backend="nccl")

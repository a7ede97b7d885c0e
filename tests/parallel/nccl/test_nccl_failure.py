"""Ranks that fail, leave out a call, are late or differ while others wait inside NCCL: errors, and no hang."""

from __future__ import annotations

import re
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import minipar
from minipar import parallel
from tests.cupy_double.double_nccl import NcclCommunicator, NcclError, nccl_installed
from tests.parallel.nccl.threads_with_nccl import launch

DEBUG = pytest.mark.parametrize("debug", [True, False])


def ones(count: int = 3) -> Any:
    return minipar.ones(count, device="cuda").array


def error_of(fn: Any, **options: Any) -> parallel.WorkerError:
    start = time.monotonic()
    with pytest.raises(parallel.WorkerError) as caught:
        launch(fn, **options)
    assert time.monotonic() - start < 5.0
    return caught.value


@DEBUG
@pytest.mark.parametrize("before", [0, 1], ids=["while NCCL connects", "in a call"])
def test_a_rank_that_raises_frees_the_others(before: int, debug: bool, nccl: SimpleNamespace) -> None:
    told = {}

    def fn(comm: Any) -> None:
        for _ in range(before):
            comm.all_reduce(ones())
        if comm.rank == 1:
            time.sleep(0.1)
            raise KeyError("broken")
        try:
            comm.all_reduce(ones(5))
        except parallel.PeerFailedError as error:
            told[comm.rank] = str(error)
            raise

    said = str(error_of(fn, size=3, debug=debug))
    assert "rank 1 raised KeyError: 'broken'" in said
    assert told.keys() == {0, 2}
    for rank, text in told.items():
        number = before + 1
        assert re.match(rf"rank 1 has failed, while rank {rank} was in all_reduce #{number} .*\(5,\) sum on GPU", text)
    assert nccl.ended.count("abort") == 3 * before
    assert "destroy" not in nccl.ended


@DEBUG
def test_a_rank_that_leaves_out_a_call_is_named(debug: bool, nccl: SimpleNamespace) -> None:
    def fn(comm: Any) -> None:
        comm.all_reduce(ones())
        if comm.rank != 1:
            comm.all_gather(ones())

    said = str(error_of(fn, size=3, debug=debug))
    vain = r"rank [02], in all_gather #2 float32 \(3,\) on GPU among .* waits in vain: rank 1 has come to close #2"
    differ = r"ranks 0, 2 called all_gather #2 float32 \(3,\) on GPU .*, but rank 1 called close #2"
    assert re.search(differ if debug else vain, said)
    assert "abort" in nccl.ended


@DEBUG
def test_a_rank_that_is_late_is_named_after_the_timeout(debug: bool, nccl: SimpleNamespace) -> None:
    def fn(comm: Any) -> None:
        comm.all_reduce(ones())
        if comm.rank == 1:
            time.sleep(2.0)
        comm.timeout = 0.3
        comm.broadcast(ones())

    said = str(error_of(fn, size=3, debug=debug))
    assert re.search(r"CommunicatorTimeout: rank [02], in broadcast #2 float32 \(3,\) root=0 on GPU among", said)
    assert "waited 0.3 s: rank 1 is running user code after all_reduce #1 float32 (3,) sum on GPU" in said
    assert "abort" in nccl.ended


def test_calls_that_differ_end_in_the_timeout_if_they_are_not_compared(nccl: SimpleNamespace) -> None:
    def fn(comm: Any) -> None:
        comm.all_reduce(ones())
        comm.timeout = 0.3
        comm.all_reduce(ones(3 + comm.rank))

    said = str(error_of(fn, debug=False))
    assert re.search(r"in all_reduce #2 float32 \(3,\) sum on GPU .*waited 0.3 s: rank 1 is in all_reduce", said) or (
        re.search(r"in all_reduce #2 float32 \(4,\) sum on GPU .*waited 0.3 s: rank 0 is in all_reduce", said)
    )
    assert len(nccl.mismatches) == 1
    assert set(nccl.ended) == {"abort"}


def test_what_nccl_complains_of_is_told(nccl: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, *arguments: Any) -> None:
        raise NcclError(3)

    monkeypatch.setattr(NcclCommunicator, "allReduce", broken)
    said = str(error_of(lambda comm: comm.all_reduce(ones())))
    assert re.search(
        r"CommunicatorError: NCCL failed while rank \d was in all_reduce #1 .*: NCCL_ERROR_INTERNAL_ERROR: "
        r"internal error. NCCL_DEBUG=INFO tells more",
        said,
    )


def test_what_nccl_complains_of_later_is_told(nccl: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any) -> None:
        raise NcclError(2)

    def fn(comm: Any) -> None:
        comm.all_reduce(ones())
        if comm.rank == 0:
            monkeypatch.setattr(NcclCommunicator, "check_async_error", broken)
            comm.all_reduce(ones())
        time.sleep(0.5)

    said = str(error_of(fn, debug=False))
    assert "CommunicatorError: NCCL failed while rank 0 was in all_reduce #2" in said
    assert "SYSTEM_ERROR" in said


def test_nothing_is_told_twice_of_a_communicator_that_has_failed(nccl: SimpleNamespace) -> None:
    def fn(comm: Any) -> str:
        if comm.rank == 1:
            raise KeyError("broken")
        for _ in range(2):
            with pytest.raises(parallel.PeerFailedError, match="rank 1 has failed"):
                comm.all_reduce(ones())
        return "survived"

    assert "rank 1 raised KeyError" in str(error_of(fn))


# -- before anything starts --------------------------------------------------------------------------------------------


def test_two_ranks_on_one_gpu() -> None:
    def fn(comm: Any) -> Any:
        with pytest.raises(RuntimeError) as caught:
            parallel.over_nccl(comm)
        return str(caught.value)

    devices = ["cuda:1", "cuda:0", "cuda:1"]
    with nccl_installed(version=22707):
        told = parallel.launch(fn, workers=3, backend="thread", devices=devices)
    assert len(set(told)) == 1
    assert re.fullmatch(
        r"over_nccl: ranks 0, 2 have the same GPU, 0000:01:00.0 of \S+: give each its own .*, or, with NCCL 2.30 or "
        r"later \(here: 2.27.7\), set NCCL_MULTI_RANK_GPU_ENABLE=1",
        told[0],
    )


def test_two_ranks_on_one_gpu_where_nccl_allows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCCL_MULTI_RANK_GPU_ENABLE", "1")

    def fn(comm: Any) -> Any:
        return parallel.over_nccl(comm).all_reduce(ones()).tolist()

    with nccl_installed(version=23203):
        assert parallel.launch(fn, backend="thread", devices=["cuda:0", "cuda:0"]) == [[2.0] * 3] * 2


def test_a_rank_without_a_gpu(nccl: SimpleNamespace) -> None:
    def fn(comm: Any) -> Any:
        with pytest.raises(RuntimeError) as caught:
            parallel.over_nccl(comm, "cpu" if comm.rank else None)
        return str(caught.value)

    told = parallel.launch(fn, workers=3, backend="thread", devices=["cuda:0"] * 3)
    assert set(told) == {
        "over_nccl: ranks 1, 2 without a GPU (its device is 'cpu'): NCCL needs one for each rank; "
        'ranks on CPUs and GPUs go together over backend="process"'
    }


def test_no_nccl(nccl: SimpleNamespace) -> None:
    nccl.nccl.available = False
    with pytest.raises(RuntimeError, match=r'rank 0 without a GPU \(CuPy finds no NCCL: pip install "\.\[gpu\]"'):
        parallel.over_nccl(parallel.init())


def test_no_cupy() -> None:
    usable, reason = minipar.kernels.cuda.detect.status()
    if usable:
        pytest.skip("there is a GPU here")
    with pytest.raises(RuntimeError, match=re.escape(f"device 'cuda' cannot be used: {reason}")):
        parallel.over_nccl(parallel.init())
    with pytest.raises(RuntimeError, match=re.escape(f"device 'cuda:0' cannot be used: {reason}")):
        parallel.launch(lambda comm: None, backend="nccl")


def test_what_is_no_communicator_for_it(nccl: SimpleNamespace) -> None:
    with pytest.raises(TypeError, match="comm must be a Communicator, not int"):
        parallel.over_nccl(3)  # type: ignore[arg-type]

    def again(comm: Any) -> None:
        with pytest.raises(ValueError, match="has NCCL already"):
            parallel.over_nccl(comm)

    launch(again)


# -- wrong arrays ------------------------------------------------------------------------------------------------------


def test_arrays_that_are_refused(nccl: SimpleNamespace) -> None:
    def fn(comm: Any) -> None:
        elsewhere = minipar.ones(3, device=f"cuda:{1 - comm.rank}").array
        own = f"cuda:{comm.rank}"
        for call in (
            comm.all_reduce,
            comm.broadcast,
            lambda x: comm.send(x, 0),
            lambda x: comm.all_gather(ones(), out=x),
        ):
            with pytest.raises(
                ValueError, match=rf"this rank's own GPU, {own}, and its \w+ is on cuda:{1 - comm.rank}"
            ):
                call(elsewhere)
        with pytest.raises(
            TypeError, match="all_reduce: out must be a CuPy array, as the array that is sent, not ndarray"
        ):
            comm.all_reduce(ones(), out=np.ones(3, np.float32))
        with pytest.raises(TypeError, match="all_reduce takes a NumPy array as out, not"):
            comm.all_reduce(np.ones(3), out=ones())
        with pytest.raises(ValueError, match=r"all_gather: out must be float32 \(2, 3\), not float32 \(3,\)"):
            comm.all_gather(ones(), out=ones())
        with pytest.raises(ValueError, match="algorithm='shared'"):
            comm.all_reduce(ones(), algorithm="shared")
        with pytest.raises(ValueError, match="algorithm='nccl'"):
            comm.all_reduce(np.ones(3), algorithm="nccl")
        with pytest.raises(TypeError, match="mean"):
            comm.all_reduce(ones().astype(int), "mean")
        comm.send(ones(), 1 - comm.rank)
        with pytest.raises(ValueError, match=r"recv: out is an array of numpy's, but the message .* is one of cupy's"):
            comm.recv(1 - comm.rank, out=np.ones(3, np.float32))
        assert comm.all_reduce(ones()).tolist() == [2.0] * 3  # and it goes on

    launch(fn)


def test_communicators_without_nccl_refuse_arrays_on_gpus(nccl: SimpleNamespace) -> None:
    with pytest.raises(TypeError, match=r"takes a NumPy array, not a CuPy array: .*over_nccl"):
        parallel.init().all_reduce(ones())
    assert not parallel.init().takes(ones())

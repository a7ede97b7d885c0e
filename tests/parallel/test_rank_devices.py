"""The devices that ranks are given."""

import os
import sys

import cloudpickle
import pytest

import minipar
from minipar import parallel
from minipar.parallel.ranks import processes

cloudpickle.register_pickle_by_value(sys.modules[__name__])


def test_devices_are_told_to_ranks():
    def place(comm):
        return str(comm.device), os.environ.get("CUDA_VISIBLE_DEVICES")

    seen = os.environ.get("CUDA_VISIBLE_DEVICES")
    assert parallel.launch(place, devices=["cpu", "cpu"]) == [("cpu", seen)] * 2
    assert parallel.launch(place, workers=1, devices=[minipar.device("cpu")], backend="thread") == [("cpu", seen)]
    assert parallel.launch(lambda comm: str(comm.split(0).device), workers=1) == ["cpu"]


def test_a_gpu_that_is_not_there_is_an_error_before_anything_starts(monkeypatch):
    monkeypatch.setattr(processes.subprocess, "Popen", None)
    if minipar.cuda.is_available():
        words = "device 'cuda:99' cannot be used: the GPUs here are 0 to"
    else:
        words = "device 'cuda:99' cannot be used: "
    with pytest.raises(RuntimeError, match=words):
        parallel.Pool(devices=["cpu", "cuda:99"])


@pytest.mark.gpu
@pytest.mark.skipif(not minipar.cuda.is_available(), reason="needs a GPU")
def test_cuda_without_a_number_is_the_ranks_own():
    def where(comm):
        return str(comm.device), str(minipar.ones(2, device="cuda").device)

    last = f"cuda:{minipar.cuda.device_count() - 1}"
    assert parallel.launch(where, workers=1, devices=[last]) == [(last, last)]

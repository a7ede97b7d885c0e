"""The devices that ranks are given."""

import os
import sys
from dataclasses import replace

import cloudpickle
import pytest

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel.equivalence import Training, TrainingRun, assert_same_run, numbers
from minipar.parallel.ranks import processes
from minipar.parallel.uneven import by_largest_remainder

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


# -- a CPU and a GPU (everywhere, with a stand-in: tests/cupy_double/test_cupy_mixed_ranks.py) ------------------------

BATCH, STEPS = 61, 12


def _training():
    minipar.manual_seed(3)
    layers = [nn.Linear(20, 64), nn.Dropout(0.3), nn.Tanh(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.Linear(32, 4)]
    batch = minipar.randn(BATCH, 20, dtype=minipar.float64), minipar.randint(4, (BATCH,))
    return Training(nn.Sequential(*layers).double(), [batch], F.cross_entropy, _momentum, STEPS)


def _momentum(parameters):
    return optim.SGD(parameters, lr=0.1, momentum=0.9)


def _on_own_device(comm, zero):
    """The training on the device that this rank was given, and how the batch was dealt out."""
    training = _training()
    batch = [x.to(comm.device) for x in training.batches[0]]
    model = training.model.to(comm.device)
    net = parallel.parallelize(model, parallel.Mesh(comm, data=comm.size), shares="measured", zero=zero)
    optimizer = _momentum(net.parameters())
    start, losses, gradients = numbers(net.state_dict()), [], {}
    minipar.manual_seed(training.seed)
    for _ in range(STEPS):
        losses.append(net.train_step(training.loss_fn, optimizer, *batch))
        gradients = gradients or numbers(net.gradients())
    return TrainingRun(losses, gradients, start, numbers(net.state_dict()), lr=0.1), net.shares.record


@pytest.mark.gpu
@pytest.mark.skipif(not minipar.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("zero", [0, 1, 2, 3])
@pytest.mark.parametrize("devices", [["cpu", "cuda"], ["cuda", "cpu"]])
def test_a_cpu_and_a_gpu_share_batches_by_speed_and_train_as_one_process(devices, zero):
    expected = _training().in_one_process()
    runs = parallel.launch(_on_own_device, zero, devices=devices)
    for (run, record), kind in zip(runs, devices):
        assert_same_run(run, expected, 1e-10, f"the rank on {kind}")
        assert [sum(by_largest_remainder(BATCH, weights)) for weights in record] == [BATCH] * STEPS
    assert runs[0][1] == runs[1][1]


def _in_layouts(comm, layouts):
    training = _training()
    training.model.to(comm.device)
    on_device = replace(training, batches=[[x.to(comm.device) for x in training.batches[0]]])
    return [on_device.in_layout(comm, parallel.Layout.parse(layout)) for layout in layouts]


@pytest.mark.gpu
@pytest.mark.skipif(not minipar.cuda.is_available(), reason="needs a GPU")
def test_a_cpu_and_a_gpu_split_the_model_itself_and_train_as_one_process():
    expected = _training().in_one_process()
    layouts = ["data=2", "pipeline=2", "tensor=2"]
    for kind, runs in zip(["cpu", "cuda"], parallel.launch(_in_layouts, layouts, devices=["cpu", "cuda"])):
        for layout, run in zip(layouts, runs):
            assert_same_run(run, expected, 1e-10, f"{layout}, the rank on {kind}")

"""Devices: how they are written, compared and refused, and what a missing GPU says."""

import copy
import pickle
import re
import sys

import numpy as np
import pytest

import minipar
from minipar.backend import device, device_of, namespace, on_device, to_numpy
from minipar.kernels.cuda import detect

SPELLINGS = ["cpu", "cuda", "cpu:0", "cuda:0", "cuda:1", "cuda:12"]
NONSENSE = ["", "gpu", "CPU", " cpu", "cuda:", "cuda:01", "cuda:-1", "cuda:²", "cuda:1:2", "cuda 1", "cuda:1\n"]


@pytest.fixture
def torch():
    return pytest.importorskip("torch", reason="pip install -e '.[oracle]'")


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_device_reads_as_in_pytorch(torch, spelling):
    ours, theirs = device(spelling), torch.device(spelling)
    assert (ours.type, ours.index, str(ours), repr(ours)) == (theirs.type, theirs.index, str(theirs), repr(theirs))


@pytest.mark.parametrize("spelling", NONSENSE)
def test_what_is_no_device_is_an_error_as_in_pytorch(torch, spelling):
    with pytest.raises(RuntimeError):
        torch.device(spelling)
    with pytest.raises(ValueError, match="device must be 'cpu', 'cuda' or 'cuda:N', not") as error:
        device(spelling)
    assert repr(spelling) in str(error.value)


def test_type_and_index_may_be_given_apart():
    assert device("cuda", 1) == device("cuda:1") == device(device("cuda:1")) == device(type="cuda", index=1)
    with pytest.raises(ValueError, match="index already"):
        device("cuda:1", 1)
    for index in (-1, True, 1.0, "1"):
        with pytest.raises(ValueError, match="index must be an int of 0 or more, not"):
            device("cuda", index)


@pytest.mark.parametrize("given", [(None,), (0,), (b"cpu",), (device("cuda"), 1)])
def test_other_types_are_an_error(given):
    with pytest.raises(TypeError, match="device must be a string such as 'cpu' or 'cuda:0', not"):
        device(*given)


def test_equality_and_hash_are_those_of_pytorch(torch):
    for a in SPELLINGS:
        for b in SPELLINGS:
            assert (device(a) == device(b)) == (torch.device(a) == torch.device(b)), (a, b)
    assert len({device(s) for s in SPELLINGS} | {device(s) for s in SPELLINGS}) == len(SPELLINGS)
    assert device("cpu") != "cpu"


def test_a_device_can_be_copied_and_sent():
    for again in (copy.deepcopy(device("cuda:1")), pickle.loads(pickle.dumps(device("cuda:1")))):
        assert again == device("cuda:1")


def test_numpy_arrays_are_on_the_cpu():
    for array in (np.ones(2), np.float32(1)):
        assert namespace(array) is np
        assert device_of(array) == device("cpu")
        assert type(to_numpy(array)) is np.ndarray
    for other in ([1.0], 1.0, None):
        with pytest.raises(TypeError, match=f"not {type(other).__name__}"):
            namespace(other)


def test_an_array_that_is_there_already_is_not_copied():
    array = np.ones(3)
    assert on_device(array, device("cpu")) is array


def test_without_a_gpu_the_reason_and_the_remedy_are_named():
    usable, reason = detect.status()
    if usable:
        pytest.skip("this machine has a GPU")
    with pytest.raises(RuntimeError, match="device 'cuda:1' cannot be used: ") as error:
        on_device(np.ones(2), device("cuda:1"))
    assert reason in str(error.value)
    with pytest.raises(RuntimeError, match="device 'cuda' cannot be used: "):
        minipar.ones(2).to("cuda")


def test_the_remedy_is_a_line_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)  # importing it raises ModuleNotFoundError
    with pytest.raises(RuntimeError, match=f"cannot be used: .*cupy.*: {re.escape(detect.INSTALL)}"):
        on_device(np.ones(2), device("cuda"))
    assert 'pip install ".[gpu]"' in detect.INSTALL


def _loaded(folder):
    minipar.save({"x": minipar.ones(2)}, folder / "x.safetensors")
    return minipar.load(folder / "x.safetensors", map_location="cuda")


WAYS_TO_A_GPU = {
    "to": lambda _: minipar.ones(2).to("cuda"),
    "to a device": lambda _: minipar.ones(2).to(device("cuda:1")),
    "to a number": lambda _: minipar.ones(2).to(0),
    "Tensor.cuda": lambda _: minipar.ones(2).cuda(),
    "Module.to": lambda _: minipar.nn.Linear(2, 1).to("cuda"),
    "Module.cuda": lambda _: minipar.nn.Linear(2, 1).cuda(),
    "a layer": lambda _: minipar.nn.Linear(2, 1, device="cuda"),
    "tensor": lambda _: minipar.tensor([1.0], device="cuda"),
    "as_tensor": lambda _: minipar.as_tensor([1.0], device="cuda"),
    "zeros": lambda _: minipar.zeros(2, device="cuda"),
    "rand": lambda _: minipar.rand(2, device="cuda"),
    "zeros_like": lambda _: minipar.zeros_like(minipar.ones(2), device="cuda"),
    "new_ones": lambda _: minipar.ones(2).new_ones(2, device="cuda"),
    "load": _loaded,
    "launch": lambda _: minipar.parallel.launch(lambda comm: 1, devices=["cuda:0", "cuda:1"]),
    "launch of threads": lambda _: minipar.parallel.launch(lambda comm: 1, devices=["cuda", "cpu"], backend="thread"),
    "Pool": lambda _: minipar.parallel.Pool(workers=1, devices=["cuda"]),
}


@pytest.mark.parametrize("way", WAYS_TO_A_GPU)
def test_without_a_gpu_every_way_to_one_says_why(way, monkeypatch, tmp_path):
    monkeypatch.setattr(detect, "status", lambda: (False, "no driver: install one"))
    with pytest.raises(RuntimeError) as error:
        WAYS_TO_A_GPU[way](tmp_path)
    assert re.fullmatch(r"device 'cuda(:[01])?' cannot be used: no driver: install one", str(error.value))


@pytest.mark.gpu
def test_arrays_move_to_the_gpu_and_back():
    usable, reason = detect.status()
    if not usable:
        pytest.skip(f"needs a GPU: {reason}")
    import cupy

    array = np.arange(6.0).reshape(2, 3)
    there = on_device(array, device("cuda"))
    assert namespace(there) is cupy
    assert device_of(there) == device("cuda", cupy.cuda.Device().id)
    assert on_device(there, device("cuda")) is there
    assert np.array_equal(on_device(there, device("cpu")), array)

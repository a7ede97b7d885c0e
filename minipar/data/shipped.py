"""The small real data sets that ship with minipar, so that everything runs offline.

``load("fashion_mnist")`` and its like read one file of ``minipar/data/files/``; where each comes from and under
which licence stands beside them in ``LICENCES.md``, and ``tools/make_data.py`` rebuilds them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import IO, Literal, overload

import numpy as np

FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")  # where Debian's dataset-fashion-mnist puts it


@dataclass(frozen=True, eq=False)
class Table:
    """Examples and what to predict from them, split once and for all into a training and a test part.

    x_train, x_test: float32 (N, ...), one example a row; images in [0, 1], measurements in their own units.
    y_train, y_test: int64 (N,) class indices where ``class_names`` is not empty, else float32 (N,) values of
    ``target_name``. ``feature_names`` names the columns of x where they are measurements and not pixels. Standardise
    ``ames`` with a mean taken in float64: its longitude, about -93.64, varies in the second decimal only.

    >>> digits = minipar.data.load("digits")
    >>> digits.x_train.shape, len(digits.class_names)
    ((1348, 1, 8, 8), 10)
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    licence: str
    source: str
    target_name: str
    class_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()

    def __repr__(self) -> str:
        sizes = f"{len(self.x_train):,} train + {len(self.x_test):,} test"
        target = f"{len(self.class_names)} classes" if self.class_names else f"predict {self.target_name}"
        return (
            f"Table({self.name!r}: {sizes}, x {self.x_train.dtype} {self.x_train.shape[1:]}, {target}; {self.licence})"
        )


@dataclass(frozen=True, eq=False)
class Series:
    """One quantity over time: ``time`` datetime64 (N,), in the unit of its steps; ``values`` float32 (N,).

    >>> sunspots = minipar.data.load("sunspots")
    >>> sunspots.time.shape == sunspots.values.shape
    True
    """

    name: str
    time: np.ndarray
    values: np.ndarray
    licence: str
    source: str
    value_name: str

    def __repr__(self) -> str:
        span = f"{len(self.values)} values of {self.value_name}, {self.time[0]} to {self.time[-1]}"
        return f"Series({self.name!r}: {span}; {self.licence})"


@dataclass(frozen=True, eq=False)
class Text:
    """Characters to learn from: all of them in ``text``, line by line in ``lines``.

    >>> len(minipar.data.load("names").lines) > 1000
    True
    """

    name: str
    text: str
    licence: str
    source: str

    @cached_property
    def lines(self) -> tuple[str, ...]:
        """The lines without their line ends; of ``names``, one name each."""
        return tuple(self.text.splitlines())

    @cached_property
    def alphabet(self) -> str:
        """Every character of ``text`` once, sorted: a character's place here can serve as its token."""
        return "".join(sorted(set(self.text)))

    def __repr__(self) -> str:
        size = f"{len(self.text):,} characters in {len(self.lines):,} lines, {len(self.alphabet)} symbols"
        return f"Text({self.name!r}: {size}; {self.licence})"


@overload
def load(name: Literal["fashion_mnist", "digits", "ames"], *, full: bool = False) -> Table: ...
@overload
def load(name: Literal["sunspots", "airpassengers"], *, full: bool = False) -> Series: ...
@overload
def load(name: Literal["names", "sonnets"], *, full: bool = False) -> Text: ...
@overload
def load(name: str, *, full: bool = False) -> Table | Series | Text: ...
def load(name: str, *, full: bool = False) -> Table | Series | Text:
    """Load one of the data sets in `minipar.data.NAMES`; every call reads it anew.

    | name | is |
    |---|---|
    | "fashion_mnist" | Table: 2,000 + 500 images float32 (1, 28, 28) in [0, 1], 10 classes |
    | "digits" | Table: 1,348 + 449 images float32 (1, 8, 8) in [0, 1], 10 classes |
    | "ames" | Table: 2,198 + 732 houses, 33 measurements in their own units, sale price in dollars |
    | "sunspots" | Series: yearly, 1700 to 2008 |
    | "airpassengers" | Series: monthly, 1949 to 1960, in thousands |
    | "names" | Text: 5,163 first names, one a line, in lower case |
    | "sonnets" | Text: Shakespeare's 154 sonnets |

    `full`, for "fashion_mnist" only: all 60,000 + 10,000 images, from the four files `*-ubyte.gz` in the folder
    `$MINIPAR_DATA` or, where that is not set, from Debian's package `dataset-fashion-mnist`; FileNotFoundError if they
    are not there. ValueError for an unknown name, for one of which there is no full form, and for a damaged file.

    >>> minipar.data.load("digits").x_test.shape
    (449, 1, 8, 8)
    """
    if name not in _READERS:
        raise ValueError(_unknown(name))
    if not full:
        return _READERS[name]()
    if name != "fashion_mnist":
        raise ValueError(f"full=True is for 'fashion_mnist' only: {name!r} ships whole already")
    return _full_fashion_mnist()


def _unknown(name: object) -> str:
    from difflib import get_close_matches

    spelled = str(name).lower().replace("-", "_").replace(" ", "_")
    close = get_close_matches(spelled, NAMES, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"name={name!r} is not one of the data sets that ship with minipar ({', '.join(NAMES)}){hint}"


def _fashion_mnist() -> Table:
    arrays = _arrays("fashion_mnist.npz")
    return _fashion_table(*(arrays[part] for part in ("x_train", "y_train", "x_test", "y_test")))


def _full_fashion_mnist() -> Table:
    chosen = os.environ.get("MINIPAR_DATA")
    folder = Path(chosen) if chosen else FASHION_FOLDER
    stems = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    paths = [folder / f"{stem}-ubyte.gz" for stem in stems]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        place = f"$MINIPAR_DATA ({folder})" if chosen else f"{folder}, and $MINIPAR_DATA is not set"
        raise FileNotFoundError(
            f"the full fashion_mnist: {', '.join(missing)} not found in {place}; `apt install dataset-fashion-mnist` "
            f"puts all four files in {FASHION_FOLDER}, or set $MINIPAR_DATA to a folder that holds them"
        )
    table = _fashion_table(*map(_read_idx, paths))
    for images, labels in ((table.x_train, table.y_train), (table.x_test, table.y_test)):
        if len(images) != len(labels):
            raise ValueError(
                f"the files in {folder} do not belong together: {len(images)} images, {len(labels)} labels"
            )
    return table


def _fashion_table(x_train: np.ndarray, y_train: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> Table:
    return Table(
        name="fashion_mnist",
        x_train=_images(x_train, white=255),
        y_train=y_train.astype(np.int64),
        x_test=_images(x_test, white=255),
        y_test=y_test.astype(np.int64),
        licence="MIT",
        source="Fashion-MNIST, Zalando SE 2017",
        target_name="garment",
        class_names=FASHION_CLASSES,
    )


def _digits() -> Table:
    arrays = _arrays("digits.npz")
    return Table(
        name="digits",
        x_train=_images(arrays["x_train"], white=16),
        y_train=arrays["y_train"].astype(np.int64),
        x_test=_images(arrays["x_test"], white=16),
        y_test=arrays["y_test"].astype(np.int64),
        licence="CC BY 4.0",
        source="E. Alpaydin and C. Kaynak 1998, Optical Recognition of Handwritten Digits, UCI repository",
        target_name="digit",
        class_names=tuple("0123456789"),
    )


def _ames() -> Table:
    arrays = _arrays("ames.npz")
    return Table(
        name="ames",
        x_train=arrays["x_train"],
        y_train=arrays["y_train"],
        x_test=arrays["x_test"],
        y_test=arrays["y_test"],
        licence="MIT",
        source="D. De Cock 2011, Ames, Iowa: Alternative to the Boston Housing Data, J. Statistics Education 19(3)",
        target_name="Sale_Price",
        feature_names=tuple(arrays["feature_names"].tolist()),
    )


def _sunspots() -> Series:
    time, values = _columns("sunspots.csv", "Y")
    return Series(
        name="sunspots",
        time=time,
        values=values,
        licence="public domain",
        source="US National Geophysical Data Center, yearly sunspot data 1700-2008",
        value_name="yearly sunspot activity",
    )


def _airpassengers() -> Series:
    time, values = _columns("airpassengers.csv", "M")
    return Series(
        name="airpassengers",
        time=time,
        values=values,
        licence="MIT",
        source="Box, Jenkins and Reinsel 1976, Time Series Analysis, Series G",
        value_name="international airline passengers (thousands)",
    )


def _names() -> Text:
    return Text(
        name="names",
        text=_text("names.txt"),
        licence="MIT",
        source="US Census Bureau, first names of the 1990 census",
    )


def _sonnets() -> Text:
    return Text(
        name="sonnets",
        text=_text("sonnets.txt"),
        licence="public domain (this edition CC BY 2.5)",
        source="W. Shakespeare, The Sonnets, 1609; the edition of Open Shakespeare",
    )


_READERS: dict[str, Callable[[], Table | Series | Text]] = {
    "fashion_mnist": _fashion_mnist,
    "digits": _digits,
    "ames": _ames,
    "sunspots": _sunspots,
    "airpassengers": _airpassengers,
    "names": _names,
    "sonnets": _sonnets,
}
NAMES: tuple[str, ...] = tuple(_READERS)


def _open(file: str) -> IO[bytes]:
    return resources.files("minipar.data").joinpath("files", file).open("rb")


def _arrays(file: str) -> dict[str, np.ndarray]:
    with _open(file) as stream, np.load(stream, allow_pickle=False) as archive:
        return dict(archive)


def _columns(file: str, unit: str) -> tuple[np.ndarray, np.ndarray]:
    """A CSV file of dates and values: datetime64 in ``unit`` ("Y", "M") and float32."""
    rows = [line.split(",") for line in _text(file).splitlines()[1:]]
    time, values = zip(*rows)
    return np.array(time, dtype=f"datetime64[{unit}]"), np.array(values, dtype=np.float32)


def _text(file: str) -> str:
    with _open(file) as stream:
        return stream.read().decode("ascii")


def _images(grey: np.ndarray, white: int) -> np.ndarray:
    """uint8 (N, H, W) with levels 0..white to float32 (N, 1, H, W) in [0, 1]."""
    return grey[:, None].astype(np.float32) / np.float32(white)


def _read_idx(path: Path) -> np.ndarray:
    """One file of the MNIST family (the IDX format of LeCun's MNIST page), gzipped: uint8 of the shape it declares.

    Raises ValueError where the file is not gzip, not IDX of unsigned bytes, or not as long as its header says.
    """
    import gzip
    import zlib

    try:
        with gzip.open(path) as stream:
            content = stream.read()
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{path} is not a whole gzip file: {error}") from error
    if content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        raise ValueError(f"{path} is not an IDX file of unsigned bytes: it starts with {content[:4].hex(' ')}")
    rank = content[3]
    shape = np.frombuffer(content, ">u4", count=rank, offset=4).tolist()
    pixels = np.frombuffer(content, np.uint8, offset=4 + 4 * rank)
    if pixels.size != np.prod(shape):
        raise ValueError(f"{path} declares the shape {shape}, {np.prod(shape)} bytes, and holds {pixels.size}")
    return pixels.reshape(shape)

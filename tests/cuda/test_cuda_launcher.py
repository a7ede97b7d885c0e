"""The way from a host function to a launch, with a stand-in for CuPy whose kernels are simulated."""

import inspect
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import cuda_cases as cases
import numpy as np
import pytest

from minipar.kernels.cuda import compiler, conv2d, cubin_cache, detect, intrinsics, launcher
from minipar.kernels.cuda.conv2d import direct
from minipar.kernels.cuda.linear import linear_forward
from minipar.kernels.cuda.matmul import RUNGS, matmul
from minipar.kernels.cuda.matmul.tile import Tile
from minipar.kernels.cuda.plan import Kernel
from minipar.kernels.simulate.execute import execute

FLOAT32 = np.dtype(np.float32)
RUNG = RUNGS["register tile"]
KERNEL = RUNG.kernel(FLOAT32, RUNG.tile, False, False)


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    """An empty cubin cache of this test's own."""
    monkeypatch.setenv("MINIPAR_CACHE", str(tmp_path / "cache"))
    cubin_cache._folder.cache_clear()
    launcher._loaded.cache_clear()
    yield tmp_path / "cache" / "cuda"
    cubin_cache._folder.cache_clear()
    launcher._loaded.cache_clear()


@pytest.fixture(autouse=True)
def versions(monkeypatch):
    """Of what is not installed, too: a cubin's name is found without a compiler."""

    def version(package: str) -> str:
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return "1"

    monkeypatch.setattr(compiler, "version", version)


@pytest.fixture
def built(monkeypatch):
    """The (kernel, capability) pairs that the compiler, replaced, was asked for."""
    asked = []

    def build(kernel, capability):
        asked.append((kernel, capability))
        return SimpleNamespace(code=b"cubin of " + kernel.name.encode())

    monkeypatch.setattr(compiler, "build", build)
    return asked


class Device:
    """CuPy's Device: an id, a compute capability, and the context that makes it current."""

    current, capabilities = 0, ("90", "120")

    def __init__(self, id):
        self.id, self.compute_capability = id, self.capabilities[id]

    def __eq__(self, other):
        return self.id == other.id

    __hash__ = None

    def __repr__(self):
        return f"<CUDA Device {self.id}>"

    def __enter__(self):
        self.before, Device.current = Device.current, self.id

    def __exit__(self, *_):
        Device.current = self.before


class Array(np.ndarray):
    """A NumPy array that says it is on a GPU."""

    id = 0

    def __array_finalize__(self, parent):
        self.id = getattr(parent, "id", 0)

    @property
    def device(self):
        return Device(self.id)


def on_gpu(array: np.ndarray, id: int = 0) -> Array:
    array = array.view(Array)
    array.id = id
    return array


@pytest.fixture
def launches(monkeypatch, built):
    """Stands in for CuPy and lists (device, file, kernel, grid, block, args) of every launch."""
    log = []

    class RawModule:
        def __init__(self, path):
            self.path = path
            assert Path(path).read_bytes()

        def get_function(self, name):
            kernel = [kernel for kernel, _ in built if kernel.name == name][-1]  # each is loaded once it is built

            def launch(grid, block, args):
                log.append((Device.current, self.path, name, grid, block, args))
                execute(kernel.function, grid, block, args)

            return launch

    cupy = SimpleNamespace(ndarray=Array, RawModule=RawModule, cuda=SimpleNamespace(Device=Device))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return log


def test_matmul_reaches_its_kernel_on_the_device_of_its_operands(launches, built):
    a, b = np.arange(6, dtype=np.float32).reshape(2, 3), np.ones((3, 4), np.float32)
    c = matmul(on_gpu(a, 1), on_gpu(b, 1))
    np.testing.assert_array_equal(c, a @ b)
    ((device, file, name, grid, block, args),) = launches
    assert (device, name, grid, block) == (1, "matmul_double_buffered", (1,), (256,))
    best = RUNGS["double-buffered"]
    by_fours = {"vector_a": False, "vector_b": True, "vector_c": True, "bias": False, "relu": False}
    assert built == [(best.kernel(FLOAT32, best.tile, False, False, **by_fours), (12, 0))]
    assert Path(file).name.startswith("matmul_double_buffered-float32-sm_120-")
    assert [type(arg) for arg in args[4:]] == [np.int32] * 7
    assert Device.current == 0


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_a_gpu_without_these_tensor_cores_multiplies_float32_in_float32(precision, launches, built, monkeypatch):
    monkeypatch.setattr(Device, "capabilities", ("75", "120"))
    monkeypatch.setattr("minipar.kernels.cuda.precision._in_use", precision)
    a = np.arange(6, dtype=np.float32).reshape(2, 3) / 7
    np.testing.assert_allclose(matmul(on_gpu(a), on_gpu(a.T)), a.astype(np.float64) @ a.T, rtol=1e-6)
    linear_forward(on_gpu(a), on_gpu(a), on_gpu(a[:, 0]), True)
    assert [(kernel.name, capability) for kernel, capability in built] == [("matmul_double_buffered", (7, 5))] * 2
    matmul(on_gpu(a, 1), on_gpu(a.T, 1))  # beside it, a GPU that has them
    assert built[-1][0].name == ("matmul_double_buffered" if precision == "highest" else "matmul_tensor_cores")


def test_a_gpu_without_these_tensor_cores_multiplies_float16_in_float32_and_rounds_once(launches, built, monkeypatch):
    monkeypatch.setattr(Device, "capabilities", ("75", "120"))
    x, ones = np.array([[2048, 1]], np.float16), np.ones((3, 2), np.float16)  # 2049 is no float16
    for bias, relu, y in ((None, False, 2048), (1, False, 2050), (-2050, True, 0), (-2048, True, 1)):
        bias = None if bias is None else on_gpu(np.full(3, bias, np.float16))
        given = linear_forward(on_gpu(x), on_gpu(ones), bias, relu)
        assert given.dtype == np.float16
        assert given.tolist() == [[y] * 3]
    assert matmul(on_gpu(x), on_gpu(ones.T)).tolist() == [[2048] * 3]
    assert {(kernel.name, kernel.dtype) for kernel, _ in built} == {("matmul_double_buffered", FLOAT32)}
    with pytest.raises(TypeError, match="b must have the dtype of a, float16, got float32"):
        matmul(on_gpu(x), on_gpu(ones.T.astype(np.float32)))


def test_conv2d_reaches_its_kernels(launches, built):
    case = cases.ConvCase("float32", 1, 2, 3, 1, (4, 3), (2, 2), (1, 1), (1, 0), (1, 1))
    x, w, bias, g = map(on_gpu, case.operands())
    cases.assert_close(conv2d.conv2d_forward(x, w, bias, *case.geometry), cases.expected_forward(case, x, w, bias))
    dx = conv2d.conv2d_grad_input(g, w, x.shape, *case.geometry)
    cases.assert_close(dx, cases.expected_grad_input(case, g, w, x.shape))
    dw = conv2d.conv2d_grad_weight(g, x, w.shape, *case.geometry)
    cases.assert_close(dw, cases.expected_grad_weight(case, g, x, w.shape))
    names = ["conv2d_implicit_gemm", "conv2d_implicit_gemm", "conv2d_grad_weight_gemm"]
    assert [launch[2] for launch in launches] == names
    assert [capability for _, capability in built] == [(9, 0)] * 3


def test_an_empty_result_launches_nothing(launches, built):
    assert matmul(on_gpu(np.ones((0, 3), np.float32)), on_gpu(np.ones((3, 2), np.float32))).shape == (0, 2)
    assert not launches
    assert not built


def test_arrays_of_another_device_or_library_are_refused(launches):
    a = np.ones((2, 2), np.float32)
    with pytest.raises(ValueError, match="b must be on the device of a, <CUDA Device 0>, got <CUDA Device 1>"):
        matmul(on_gpu(a), on_gpu(a, 1))
    with pytest.raises(TypeError, match="take CuPy arrays, got ndarray"):
        matmul(a, a)


def test_a_kernel_is_compiled_once_and_its_file_appears_whole(built, cache_folder):
    file = cubin_cache.cubin_file(KERNEL, (9, 0))
    assert file.read_bytes() == b"cubin of matmul_register_tile"
    assert cubin_cache.cubin_file(KERNEL, (9, 0)) == file
    assert len(built) == 1
    assert list(cache_folder.iterdir()) == [file]


def test_those_who_ask_at_once_wait_for_one_to_compile(built, cache_folder, monkeypatch):
    """Threads here; a lock is of an open file, so that it is the same among processes."""
    build, everybody = compiler.build, threading.Barrier(4)

    def slowly(kernel, capability):
        time.sleep(0.2)
        return build(kernel, capability)

    def ask(_):
        everybody.wait()
        return cubin_cache.cubin_file(KERNEL, (9, 0))

    monkeypatch.setattr(compiler, "build", slowly)
    with ThreadPoolExecutor(4) as pool:
        (file,) = set(pool.map(ask, range(4)))
    assert len(built) == 1
    assert list(cache_folder.iterdir()) == [file]


def test_a_compilation_that_fails_leaves_nothing(monkeypatch, cache_folder):
    def fail(kernel, capability):
        raise RuntimeError("no compiler")

    monkeypatch.setattr(compiler, "build", fail)
    with pytest.raises(RuntimeError, match="no compiler"):
        cubin_cache.cubin_file(KERNEL, (9, 0))
    assert not list(cache_folder.iterdir())


def test_a_cache_that_cannot_be_written_is_replaced_by_a_temporary_one(built, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("MINIPAR_CACHE", str(tmp_path / "file"))
    file = cubin_cache.cubin_file(KERNEL, (9, 0))
    assert file.read_bytes() == b"cubin of matmul_register_tile"
    assert tmp_path not in file.parents


def test_the_cache_key_names_everything_that_decides_the_code(monkeypatch):
    def name(dtype=np.float32, tile=RUNG.tile, transposed=False, capability=(9, 0)):
        return cubin_cache.cubin_name(RUNG.kernel(np.dtype(dtype), tile, transposed, False), capability)

    names = [name(), name(np.float64), name(tile=Tile(16, 16, 4, 2, 2)), name(transposed=True), name(capability=(8, 0))]
    names.append(cubin_cache.cubin_name(direct.forward_kernel(FLOAT32, 256), (9, 0)))
    names.append(cubin_cache.cubin_name(direct.forward_kernel(FLOAT32, 128), (9, 0)))
    monkeypatch.setattr(compiler, "_version", lambda package: "9.9" if package == "nvidia-nvvm" else "1")
    names.append(name())
    monkeypatch.setattr(direct, "CHANNELS", 8)
    names.append(cubin_cache.cubin_name(direct.forward_kernel(FLOAT32, 256), (9, 0)))
    assert len(set(names)) == len(names)
    RUNG.kernel.cache_clear()
    assert name() == names[7]


def test_the_cache_key_tells_apart_one_source_compiled_in_several_ways():
    def kernel(x):
        x[0] = x[1]

    ways = [
        (np.float32, 1, 32, (9, 0)),
        (np.float64, 1, 32, (9, 0)),
        (np.float32, 1, 64, (9, 0)),
        (np.float32, 1, 32, 2, (9, 0)),
        (np.float32, 1, 32, (8, 0)),
    ]
    keys = {compiler.identity(Kernel(kernel, np.dtype(dtype), *rest), cc) for dtype, *rest, cc in ways}
    assert len(keys) == len(ways)


INGREDIENTS = [compiler.to_ptx, compiler.assemble, compiler._numba_type, intrinsics._mma, intrinsics._load_16_bytes]


@pytest.mark.parametrize("function", INGREDIENTS, ids=lambda function: function.__name__)
def test_the_cache_key_changes_with_how_kernels_are_compiled(function, monkeypatch):
    """As if a line of the function were another one."""
    before, text = compiler.identity(KERNEL, (9, 0)), inspect.getsource
    last = text(function).rstrip().splitlines()[-1]
    monkeypatch.setattr(inspect, "getsource", lambda of: text(of).replace(last, f"{last}  # edited"))
    assert compiler.identity(KERNEL, (9, 0)) != before


@pytest.mark.parametrize("package", compiler.PACKAGES)
def test_the_cache_key_changes_with_each_version(package, monkeypatch):
    before, versions = compiler.identity(KERNEL, (9, 0)), compiler._version
    monkeypatch.setattr(compiler, "_version", lambda of: "9.9" if of == package else versions(of))
    assert compiler.identity(KERNEL, (9, 0)) != before


def test_the_cache_key_changes_with_the_toolkit_of_the_system(tmp_path, monkeypatch):
    """Where NVVM and nvJitLink are no wheels."""
    keys, library = set(), tmp_path / "libnvvm.so"
    loader = SimpleNamespace(load_nvidia_dynamic_lib=lambda name: SimpleNamespace(abs_path=str(library)))
    monkeypatch.setitem(sys.modules, "cuda.pathfinder", loader)

    def no_wheel(package):
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(compiler, "version", no_wheel)
    for content in ("12.8", "13.0.2"):
        library.write_text(content)
        keys.add(compiler.identity(KERNEL, (9, 0)))
    assert len(keys) == 2


@pytest.mark.parametrize(
    "change", [{"threads": 128}, {"min_blocks": 3}, {"pointers": 2}, {"others": {"N": "int64"}}], ids=str
)
def test_the_cache_key_changes_with_each_field_of_a_kernel(change):
    assert compiler.identity(replace(KERNEL, **change), (9, 0)) != compiler.identity(KERNEL, (9, 0))


def test_the_cache_key_refuses_what_it_cannot_tell_apart():
    def helper(x):
        return x

    def kernel(x):
        x[0] = helper(x[0])

    with pytest.raises(TypeError, match="not helper="):
        compiler.identity(Kernel(kernel, FLOAT32, 1, 32), (9, 0))


def test_status_says_how_to_install_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    usable, reason = detect.status()
    assert not usable
    assert re.fullmatch(f".*cupy.*: {re.escape(detect.INSTALL)}", reason)


def test_status_says_why_cupy_sees_no_gpu(monkeypatch):
    def no_driver():
        raise RuntimeError("cudaErrorInsufficientDriver:\n too old")

    runtime = SimpleNamespace(getDeviceCount=no_driver)
    cupy = SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: False, runtime=runtime))
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    assert "cudaErrorInsufficientDriver: too old" in detect.status()[1]
    runtime.getDeviceCount = lambda: 0
    assert detect.status() == (False, "cupy finds no CUDA device (the driver counts 0)")
    cupy.cuda = None
    usable, reason = detect.status()
    assert not usable
    assert "AttributeError" in reason


def test_status_looks_for_the_compiler_too(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(cuda=SimpleNamespace(is_available=lambda: True)))
    assert detect.status() == detect.compiler_status()
    monkeypatch.setattr(detect, "find_spec", lambda name: None)
    assert detect.status() == (False, f"the CUDA kernels need numba-cuda: {detect.INSTALL}")

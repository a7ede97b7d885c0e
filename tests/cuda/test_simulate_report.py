"""What the simulator counts, against what is known of these access patterns; and its pictures."""

import linecache

import numpy as np
import pytest
from numba import cuda, float32, float64

from minipar.kernels import simulate
from minipar.kernels.cuda.intrinsics import load4, store4

N = 64
TILE = 32


def f32(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def per_request(count) -> float:
    return count.transactions / count.requests


def copy(x, y):
    column, row = cuda.grid(2)
    y[row, column] = x[row, column]


def naive_transpose(x, y):
    column, row = cuda.grid(2)
    y[column, row] = x[row, column]


def tiled_transpose(pitch: int):
    shape = (TILE, pitch)

    def transpose(x, y):
        tile = cuda.shared.array(shape, float32)
        i, j = cuda.threadIdx.x, cuda.threadIdx.y
        top, left = cuda.blockIdx.y * TILE, cuda.blockIdx.x * TILE
        for row in range(j, TILE, 4):
            tile[row, i] = x[top + row, left + i]
        cuda.syncthreads()
        for row in range(j, TILE, 4):
            y[left + row, top + i] = tile[i, row]

    return transpose


def test_a_warp_that_reads_a_row_needs_4_sectors_and_a_column_32():
    x, y = np.arange(N * N, dtype=np.float32).reshape(N, N), f32(N, N)
    report = simulate.run(copy, (2, 16), (32, 4), x, y)
    requests = N * N // 32
    for access in ("load", "store"):
        assert report.count("global", access).requests == requests
        assert per_request(report.count("global", access)) == 4
    assert report.count("global").efficiency == 1

    report = simulate.run(naive_transpose, (2, 16), (32, 4), x, y)
    np.testing.assert_array_equal(y, x.T)
    assert per_request(report.count("global", "load")) == 4
    assert per_request(report.count("global", "store")) == 32
    assert report.count("global", "store").efficiency == 1 / 8
    assert report.global_sectors == requests * 36


def test_a_column_of_a_tile_conflicts_32_ways_and_padding_helps():
    x, y = np.arange(N * N, dtype=np.float32).reshape(N, N), f32(N, N)
    requests = N * N // 32
    report = simulate.run(tiled_transpose(TILE), (2, 2), (32, 4), x, y)
    np.testing.assert_array_equal(y, x.T)
    assert report.count("global").transactions == requests * 8
    assert per_request(report.count("shared", "store")) == 1
    assert per_request(report.count("shared", "load")) == 32
    assert report.bank_conflicts == requests * 31
    assert report.barriers == 4

    padded = simulate.run(tiled_transpose(TILE + 1), (2, 2), (32, 4), x, y)
    assert padded.bank_conflicts == 0
    assert padded.shared_wavefronts == requests * 2
    assert padded.count("shared").efficiency == 1


def test_a_broadcast_costs_one_transaction():
    def kernel(x, y):
        a = cuda.shared.array(1, float32)
        if cuda.threadIdx.x == 0:
            a[0] = x[5]
        cuda.syncthreads()
        y[cuda.threadIdx.x] = a[0] + x[5]

    report = simulate.run(kernel, 1, 32, f32(8), f32(32))
    loads = report.count("global", "load")
    assert (loads.requests, loads.transactions, loads.efficiency) == (2, 2, 4 / 32)
    shared = report.count("shared", "load")
    assert (shared.requests, shared.transactions, report.bank_conflicts) == (1, 1, 0)


@pytest.mark.parametrize(("offset", "sectors"), [(0, 4), (1, 5), (8, 4)])
def test_sectors_are_counted_from_where_memory_begins(offset, sectors):
    def kernel(x, y, offset):
        y[cuda.threadIdx.x] = x[cuda.threadIdx.x + offset]

    memory = f32(64)
    assert simulate.run(kernel, 1, 32, memory, f32(32), offset).count("global", "load").transactions == sectors
    view = memory[offset:]
    assert simulate.run(kernel, 1, 32, view, f32(32), 0).count("global", "load").transactions == sectors


@pytest.mark.parametrize(("dtype", "sectors"), [(np.int8, 1), (np.float16, 2), (np.float32, 4), (np.float64, 8)])
def test_sectors_grow_with_the_dtype(dtype, sectors):
    def kernel(x):
        x[cuda.threadIdx.x] = 1

    assert simulate.run(kernel, 1, 32, np.zeros(32, dtype)).global_sectors == sectors


@pytest.mark.parametrize(("stride", "ways"), [(1, 1), (2, 2), (3, 1), (4, 4), (16, 16), (32, 32), (33, 1)])
def test_strides_in_shared_memory(stride, ways):
    def kernel():
        a = cuda.shared.array(33 * 32, float32)
        a[cuda.threadIdx.x * stride] = 1

    report = simulate.run(kernel, 1, 32)
    assert (report.shared_wavefronts, report.bank_conflicts) == (ways, ways - 1)


def test_wide_accesses_go_in_phases():
    def doubles():
        a = cuda.shared.array(32, float64)
        a[cuda.threadIdx.x] = 1

    report = simulate.run(doubles, 1, 32)
    assert (report.shared_wavefronts, report.bank_conflicts) == (2, 0)

    def vectors(x, stride):
        a = cuda.shared.array(256, float32, alignment=16)
        i = cuda.threadIdx.x
        store4(a, i * 4 * stride, *load4(x, i * 4))

    report = simulate.run(vectors, 1, 32, f32(128), 1)
    assert (report.shared_wavefronts, report.bank_conflicts) == (4, 0)
    assert report.count("global", "load").requests == 1
    assert report.count("global", "load").transactions == 16
    report = simulate.run(vectors, 1, 32, f32(128), 2)  # lanes 0 and 4 of a phase of 8 meet
    assert (report.shared_wavefronts, report.bank_conflicts) == (8, 4)


def test_lanes_that_part_meet_again():
    def kernel(x, y):
        i = cuda.threadIdx.x
        total = float32(0)
        for _ in range(i % 2 + 1):
            total += x[i]
        if i < 16:
            y[i] = total
        else:
            y[i] = -total

    report = simulate.run(kernel, 1, 64, f32(64), f32(64))
    loads, stores = report.count("global", "load"), report.count("global", "store")
    assert loads.requests == 2 * 2  # two warps, up to two times round the loop
    assert loads.transactions == 2 * (4 + 4)
    assert loads.efficiency == 0.75
    assert (stores.requests, stores.transactions) == (3, 8)  # only warp 0 takes both branches


def test_device_functions_are_counted_on_their_own_lines():
    @cuda.jit(device=True)
    def get(x, i):
        return x[i]

    def kernel(x, y):
        i = cuda.threadIdx.x
        y[i] = get(x, i) + get(x, 0)

    report = simulate.run(kernel, 1, 32, f32(32), f32(32))
    first = get.py_func.__code__.co_firstlineno
    assert report.count("global", "load", line=first + 2).requests == 2
    assert report.count("global", "load", line=first + 2).transactions == 4 + 1
    assert "return x[i]" in str(report)


def test_the_table_is_sorted_by_line():
    lines = str(simulate.run(tiled_transpose(TILE), (2, 2), (32, 4), f32(N, N), f32(N, N))).splitlines()
    assert lines[0] == "transpose: 4 blocks of 128 threads, 4 barriers"
    assert " ".join(lines[1].split()) == "line memory access requests transactions a request efficiency source"
    assert [line.split()[1:3] for line in lines[2:]] == [
        ["global", "load"],
        ["shared", "store"],
        ["global", "store"],
        ["shared", "load"],
    ]
    assert (
        lines[5].split(maxsplit=3)[3]
        == "128          4096       32.0         3 %  y[left + row, top + i] = tile[i, row]"
    )


def test_pictures_say_who_touches_what():
    report = simulate.run(naive_transpose, (2, 1), (2, 3), f32(3, 4), f32(4, 3))
    assert report.draw("y").splitlines() == [
        "y, by the threads that store",
        "0:0,0 0:0,1 0:0,2",
        "0:1,0 0:1,1 0:1,2",
        "1:0,0 1:0,1 1:0,2",
        "1:1,0 1:1,1 1:1,2",
    ]
    assert report.draw("x", "load", rows=1, columns=2).splitlines()[1:] == ["0:0,0 0:1,0 …", "…"]

    def volume(y):
        y[cuda.threadIdx.z, cuda.threadIdx.y, cuda.blockIdx.y] = 1

    picture = simulate.run(volume, (1, 2), (1, 2, 2), np.zeros((2, 2, 3))).draw("y")
    assert picture.splitlines()[1:3] == ["0,0:0,0,0 0,1:0,0,0         ·", "0,0:0,1,0 0,1:0,1,0         ·"]
    assert picture.splitlines()[4] == "0,0:0,1,1 0,1:0,1,1         ·"


def test_pictures_of_shared_memory_show_the_first_block():
    report = simulate.run(tiled_transpose(TILE), (2, 2), (32, 4), f32(N, N), f32(N, N))
    lines = report.draw("tile", rows=5, columns=3).splitlines()
    assert lines[1:3] == ["0,0:0,0 0,0:1,0 0,0:2,0 …", "0,0:0,1 0,0:1,1 0,0:2,1 …"]
    assert lines[5] == lines[1]  # four lines of threads go down the tile


def test_kernels_of_a_notebook():
    source = "def kernel(y):\n    y[cuda.grid(1)] = 1\n"
    file = "/tmp/ipykernel_1/1234.py"  # no such file: IPython tells linecache of its cells
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    scope = {"cuda": cuda}
    exec(compile(source, file, "exec"), scope)
    report = simulate.run(scope["kernel"], 1, 4, f32(4))
    assert str(report).splitlines()[2].endswith("y[cuda.grid(1)] = 1")
    with pytest.raises(simulate.KernelError, match=r"index out of bounds: y\[4\], .* in line 2 of kernel"):
        simulate.run(scope["kernel"], 1, 5, f32(4))
    del linecache.cache[file]

"""minipar.cuda over the double of CuPy's two GPUs: which GPU, which stream, which pool a call is about.

Not a GPU run: see double_cuda.py for what this shows and what it cannot.
"""

from __future__ import annotations

import inspect
import threading
from types import ModuleType

import pytest

import minipar
from tests.cupy_double.double_array import SURFACE, signature
from tests.cupy_double.double_cuda import MEMORY, Device, Event, MemoryPool, Stream

# ── the double has CuPy's names and arguments ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("kind", [Device, Event, MemoryPool, Stream])
def test_the_double_has_cupys_methods(kind: type) -> None:
    recorded = SURFACE["cuda classes"][kind.__name__]
    public = {name: thing for name, thing in vars(kind).items() if name[0] != "_" or name == "__init__"}
    for name, thing in public.items():
        if inspect.isfunction(thing):
            ours = list(inspect.signature(thing).parameters.values())[1:]
            theirs = signature(recorded[name]).parameters.values()
            assert [(p.name, p.default is p.empty) for p in ours] == [(p.name, p.default is p.empty) for p in theirs]
        else:
            assert recorded[name] is None, name


def test_the_double_has_cupys_functions(cupy: ModuleType) -> None:
    classes = {"Device", "Event", "MemoryPool", "Stream", "runtime"}
    assert set(vars(cupy.cuda)) - classes <= set(SURFACE["cuda"])
    assert set(vars(cupy.cuda.runtime)) <= set(SURFACE["cuda runtime"])
    assert "get_default_memory_pool" in SURFACE["functions"]
    data = cupy.zeros(3).data
    for thing, kind in ((data, "MemoryPointer"), (data.mem, "PooledMemory")):
        public = {name for name in vars(thing) if name[0] != "_"} - {"host"}
        assert public <= set(SURFACE["cuda classes"][kind]), kind


# ── minipar.cuda ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_thread_has_its_current_gpu(cupy: ModuleType):
    cuda, elsewhere = minipar.cuda, []
    cuda.set_device("cuda:1")
    thread = threading.Thread(target=lambda: elsewhere.append(cuda.current_device()))
    thread.start()
    thread.join()
    assert (cuda.current_device(), elsewhere) == (1, [0])
    assert str(minipar.zeros(2, device="cuda").device) == "cuda:1"
    first = cuda.device(0)
    with first, cuda.device(None), first:
        assert cuda.current_device() == 0
        assert str(minipar.zeros(2).cuda().device) == "cuda:0"
    assert cuda.current_device() == 1


def test_what_a_gpu_is(cupy: ModuleType):
    assert minipar.cuda.get_device_name("cuda:1") == "Stand-in 1"
    assert minipar.cuda.get_device_capability() == (9, 0)
    told = minipar.cuda.get_device_properties()
    assert (told.total_memory, told.multi_processor_count, told.warp_size) == (MEMORY, 4, 32)
    assert (told.shared_memory_per_block, told.regs_per_multiprocessor) == (49152, 65536)


def test_a_gpu_that_there_is_not(cupy: ModuleType):
    with pytest.raises(RuntimeError, match=r"^device 'cuda:2' cannot be used: there is 'cuda:0' to 'cuda:1'$"):
        minipar.ones(2, device="cuda:2")
    with pytest.raises(RuntimeError, match=r"^synchronize: device 'cuda:7' cannot be used"):
        minipar.cuda.synchronize(7)


def test_memory_is_counted_limited_and_given_back(cupy: ModuleType):
    cuda, pool = minipar.cuda, cupy.get_default_memory_pool()
    x, y = minipar.ones(100, device="cuda:1"), minipar.ones(300, device="cuda:1")  # in blocks of 512 bytes
    del y
    assert [cuda.memory_allocated(i) for i in (0, 1)] == [0, 512]
    assert [cuda.memory_reserved(f"cuda:{i}") for i in (0, 1)] == [0, 2048]
    with cuda.device(1):
        cuda.empty_cache()
        assert (cuda.memory_reserved(), cuda.mem_get_info()) == (512, (MEMORY // 4, MEMORY))
    assert x.sum().item() == 100
    cuda.set_per_process_memory_fraction(0.25, device=1)
    assert pool.limits == [0, MEMORY // 4]
    cuda.set_per_process_memory_fraction(1)
    assert pool.limits == [MEMORY, MEMORY // 4]


def test_the_most_memory_is_remembered_for_each_gpu(cupy: ModuleType):
    cuda = minipar.cuda
    x = minipar.ones(256, device="cuda:1")  # 1024 bytes
    for _ in range(3):
        y = x * 2 + 1  # as much for the product, and for the sum; and a block for the number
        del y
    assert (cuda.memory_allocated(1), cuda.max_memory_allocated(1)) == (1024, 3584)
    assert (cuda.max_memory_allocated(0), cuda.max_memory_reserved(0)) == (0, 0)
    with cuda.device(1):
        cuda.empty_cache()
        assert (cuda.memory_reserved(), cuda.max_memory_reserved()) == (1024, 3584)
        cuda.reset_peak_memory_stats()
        assert (cuda.max_memory_allocated(), cuda.max_memory_reserved()) == (1024, 1024)
    y = x + 1
    assert cuda.max_memory_allocated(1) == 2560
    del x, y
    assert (cuda.memory_allocated(1), cuda.max_memory_allocated(1)) == (0, 2560)


def test_memory_is_watched_on_every_thread(cupy: ModuleType):
    minipar.cuda.max_memory_allocated()
    made: list[minipar.Tensor] = []
    for count in (1, 2):
        thread = threading.Thread(target=lambda: made.append(minipar.ones(128, device="cuda:0")))
        thread.start()
        thread.join()
        assert minipar.cuda.max_memory_allocated() == 512 * count
    made.clear()  # on this thread, which allocated none of it
    assert minipar.cuda.max_memory_allocated() == 1024


def test_the_pool_is_asked_only_where_there_may_be_a_new_peak(cupy: ModuleType, monkeypatch):
    cuda, pool = minipar.cuda, cupy.get_default_memory_pool()
    del_me = [minipar.ones(128, device="cuda") for _ in range(8)]
    del_me.clear()
    asked, used_bytes = [], pool.used_bytes
    assert cuda.max_memory_allocated() == 4096  # and from here on the bound is what is held: nothing
    monkeypatch.setattr(pool, "used_bytes", lambda: asked.append(1) or used_bytes())
    for _ in range(20):
        cupy.zeros(128, dtype="float32")
    assert len(asked) == 2  # in 16 allocations the bound comes to twice the peak


def test_an_allocator_of_the_users_stays(cupy: ModuleType):
    other = MemoryPool()
    cupy.cuda.set_allocator(other.malloc)
    x = minipar.ones(128, device="cuda")
    assert cupy.cuda.get_allocator() == other.malloc
    assert (other.used[0], minipar.cuda.max_memory_allocated(), x.numel()) == (512, 0, 128)


def test_streams_and_their_order(cupy: ModuleType):
    cuda = minipar.cuda
    main, side = cuda.current_stream(), cuda.Stream(priority=-1)
    assert (main.cuda_stream, side.priority, side._stream.is_non_blocking) == (0, -1, True)
    assert (main != side, main == cuda.current_stream("cuda:0"), main == cuda.current_stream(1)) == (True, True, False)
    block = cuda.stream(side)
    with block, cuda.stream(None), block:
        assert cuda.current_stream() == side
        event = cuda.current_stream().record_event()
    assert cuda.current_stream() == main
    main.wait_event(event)
    side.wait_stream(main)
    side.synchronize()
    assert (main.query(), event.query()) == (True, True)
    happened = [[what for what, _ in stream._stream.given] for stream in (main, side)]
    assert happened[1] == ["record", "wait", "synchronize"]
    assert happened[0][-2:] == ["wait", "record"]
    assert main._stream.given[-1][1] is side._stream.given[1][1]  # the one waits for what the other recorded


def test_a_streams_block_goes_to_its_gpu(cupy: ModuleType):
    other = minipar.cuda.Stream("cuda:1")
    assert str(other.device) == "cuda:1"
    with minipar.cuda.stream(other):
        assert (minipar.cuda.current_device(), minipar.cuda.current_stream()) == (1, other)
        assert str(minipar.ones(2, device="cuda").device) == "cuda:1"
    assert minipar.cuda.current_device() == 0
    event = minipar.cuda.Event()
    event.record(other)  # of the stream's GPU, though another is current
    assert event._event.device_id == 1


def test_events_measure(cupy: ModuleType, monkeypatch):
    cuda = minipar.cuda
    start, end, plain = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True, blocking=True), cuda.Event()
    start.wait()  # never recorded: nothing to wait for
    assert start.query()
    with pytest.raises(ValueError, match="the first was never recorded"):
        start.elapsed_time(end)
    start.record()
    end.record()
    end.synchronize()
    assert start.elapsed_time(end) == 1.5
    assert (end._event.block, end._event.disable_timing) == (True, False)
    with pytest.raises(ValueError, match="end_event was made without enable_timing=True"):
        start.elapsed_time(plain)
    monkeypatch.setattr(end._event, "done", False)
    with pytest.raises(RuntimeError, match="end_event has not happened yet"):
        start.elapsed_time(end)


def test_a_gpu_draws_the_numbers_of_the_cpu(cupy: ModuleType):
    drawn = []
    for device in ("cpu", "cuda:0", "cuda:1"):
        minipar.manual_seed(5)
        drawn.append(minipar.rand(4, device=device).tolist())
    assert drawn[0] == drawn[1] == drawn[2]


def test_several_gpus_do_not_mix(cupy: ModuleType) -> None:
    x, y = minipar.ones(2, 2, device="cuda:0"), minipar.ones(2, 2, device="cuda:1")
    places = minipar.tensor([0, 1], device="cuda:1")
    for mixed in (lambda: x + y, lambda: x @ y, lambda: minipar.cat([x, y]), lambda: x[places], lambda: x.sum() * y):
        with pytest.raises(RuntimeError, match=r"got tensors on two devices: cuda:[01] \(.*\) and cuda:[01] \("):
            mixed()
    assert (x + y.to(x.device)).sum().item() == 8.0

"""A function that ranks could not call as they will is refused before anything starts, with words that help."""

import functools
import traceback

import pytest

from minipar import parallel


def step(comm, batch, *, lr=0.1):
    return comm.size


class Step:
    def __call__(self, comm, batch):
        return comm.size

    def method(self, comm, *rest):
        return len(rest)


def wrapped(function):
    """A decorator that gives another argument, and says that it looks like what it wraps."""

    @functools.wraps(function)
    def wrapper(comm):
        return function(comm, 3)

    return wrapper


@pytest.mark.parametrize(
    ("launch", "words"),
    [
        (
            lambda run: run(lambda: None),
            "calls <lambda>(comm), but it is <lambda>(): too many positional arguments. Its first argument must be the "
            "rank's communicator",
        ),
        (
            lambda run: run(step),
            "calls step(comm), but it is step(comm, batch, lr=…): missing a required argument: 'batch'",
        ),
        (
            lambda run: run(step, 1, 0.1),
            "calls step(comm, <int>, <float>), but it is step(comm, batch, lr=…): too many positional arguments",
        ),
        (
            lambda run: run(step, 1, rate=0.1),
            "calls step(comm, <int>, rate=<float>), but it is step(comm, batch, lr=…): got an unexpected keyword "
            "argument 'rate'",
        ),
        (
            lambda run: run(Step()),
            "calls Step(comm), but it is Step(comm, batch): missing a required argument: 'batch'",
        ),
        (lambda run: run(3), "needs a function to run on every rank, not int"),
    ],
)
@pytest.mark.parametrize("call", ["launch", "Pool.run"])
def test_calls_that_do_not_fit(call, launch, words):
    with parallel.Pool(backend="thread") as pool, pytest.raises(TypeError) as caught:
        launch(pool.run if call == "Pool.run" else parallel.launch)
    assert str(caught.value) == f"{call} {words}"
    assert len(traceback.extract_tb(caught.value.__traceback__)) == 2  # this function, and the lambda


@pytest.mark.parametrize("name", ["nprocs", "world_size", "num_workers", "processes", "n"])
def test_other_names_of_the_number_of_ranks(name):
    with pytest.raises(
        TypeError, match=rf"unexpected keyword argument '{name}'\. The number of ranks is .* workers=4$"
    ):
        parallel.launch(lambda comm: None, **{name: 4})
    assert parallel.launch(lambda comm, **kwargs: kwargs, backend="thread", **{name: 4}) == [{name: 4}] * 2
    with parallel.Pool(backend="thread") as pool, pytest.raises(TypeError, match=r"is given as Pool\(workers=…\)$"):
        pool.run(lambda comm: None, workers=4)


@pytest.mark.parametrize(
    ("fn", "arguments", "expected"),
    [
        (step, (1,), 2),
        (Step(), (1,), 2),
        (Step().method, (1, 2, 3), 3),
        (functools.partial(step, batch=3), (), 2),
        (wrapped(step), (), 2),
        (isinstance, (str,), False),  # it says little of its parameters
        (max, (), None),
    ],
)
def test_functions_of_every_kind_that_fit(fn, arguments, expected):
    if fn is max:  # it says nothing: the ranks tell
        with pytest.raises(parallel.WorkerError, match="raised TypeError: 'ThreadCommunicator' object is not iterable"):
            parallel.launch(fn, backend="thread")
    else:
        assert parallel.launch(fn, *arguments, backend="thread") == [expected] * 2

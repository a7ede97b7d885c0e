"""Whether a function can be called as ranks will call it: a mistake is told of before anything starts."""

import inspect
from collections.abc import Callable
from typing import Any

# what other libraries and programs call the number of ranks
_WORKERS = {
    *("n", "n_jobs", "n_workers", "np", "nproc", "nprocs", "num_processes", "num_procs", "num_ranks", "num_workers"),
    *("max_workers", "processes", "ranks", "size", "workers", "world_size"),
}


def check_call(call: str, fn: Callable[..., Any], args: tuple, kwargs: dict[str, Any]) -> None:
    """TypeError unless ``fn(comm, *args, **kwargs)`` fits the parameters of `fn`, as far as Python knows them."""
    if not callable(fn):
        raise TypeError(f"{call} needs a function to run on every rank, not {type(fn).__name__}")
    try:
        signature = inspect.signature(fn, follow_wrapped=False)
    except (TypeError, ValueError):  # a built-in one may not tell
        return
    try:
        signature.bind(None, *args, **kwargs)
    except TypeError as error:
        name = getattr(fn, "__name__", type(fn).__name__)
        raise TypeError(
            f"{call} calls {name}({_given(args, kwargs)}), but it is {name}({_taken(signature)}): {error}"
            f"{_hint(call, signature, kwargs)}"
        ) from None


def _given(args: tuple, kwargs: dict[str, Any]) -> str:
    """Arguments by their types: values may be long."""
    named = (f"{name}=<{type(value).__name__}>" for name, value in kwargs.items())
    return ", ".join(["comm", *(f"<{type(value).__name__}>" for value in args), *named])


def _taken(signature: inspect.Signature) -> str:
    stars: dict[int, str] = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    return ", ".join(
        f"{stars.get(parameter.kind, '')}{name}{'' if parameter.default is parameter.empty else '=…'}"
        for name, parameter in signature.parameters.items()
    )


def _hint(call: str, signature: inspect.Signature, kwargs: dict[str, Any]) -> str:
    for name in kwargs:
        if name in _WORKERS and name not in signature.parameters:
            how = f"workers={kwargs[name]!r}" if call == "launch" else "Pool(workers=…)"
            return f". The number of ranks is given as {how}"
    if not signature.parameters:
        return ". Its first argument must be the rank's communicator"
    return ""

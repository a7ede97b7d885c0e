"""Telling people about many ranks in few words: what the errors of a communicator say, each thing once."""

from collections.abc import Iterable, Iterator, Sequence

_KINDS = 4  # of calls that are told; there may be as many as ranks


def calls_differ(calls: Iterable[tuple[int, str]]) -> str:
    """What each rank has called.

    >>> calls_differ([(0, "barrier #3"), (1, "barrier #3"), (2, "all_reduce #3 int64 (2,) sum"), (3, "barrier #3")])
    'ranks 0, 1, 3 called barrier #3, but rank 2 called all_reduce #3 int64 (2,) sum'
    """
    told = [f"{ranks} called {call}" for ranks, call in told_once(calls)]
    if len(told) > _KINDS:
        return ", ".join([*told[:_KINDS], "and the others called something else again"])
    return ", but ".join(filter(None, [", ".join(told[:-1]), told[-1]]))


def waits_in_vain(rank: int, doing: str, gone: int, finished: str = "finished") -> str:
    """Of `rank`, which is `doing` what needs `gone`, which has finished.

    >>> waits_in_vain(0, "in barrier #2", 1, "finished after barrier #1")
    'rank 0, in barrier #2, waits in vain: rank 1 has finished after barrier #1'
    """
    return f"rank {rank}, {doing}, waits in vain: rank {gone} has {finished}"


def waited_too_long(rank: int, doing: str, seconds: float, late: Iterable[tuple[int, str]]) -> str:
    """Of `rank`, which was `doing` what needs the ranks that are `late`, each doing something else.

    >>> waited_too_long(0, "in barrier #2", 5.0, [(1, "running user code"), (3, "running user code")])
    'rank 0, in barrier #2, waited 5 s: ranks 1, 3 are running user code'
    """
    told = [f"{ranks} {'are' if ranks.startswith('ranks') else 'is'} {what}" for ranks, what in told_once(late)]
    return f"rank {rank}, {doing}, waited {seconds:g} s: {'; '.join(told)}"


def told_once(told: Iterable[tuple[int, str]]) -> Iterator[tuple[str, str]]:
    """Each text once, in order of appearance, with the ranks that it is about: "rank 2", "ranks 0, 3-7".

    >>> list(told_once([(0, "waits"), (1, "sleeps"), (2, "waits"), (3, "waits"), (4, "waits")]))
    [('ranks 0, 2-4', 'waits'), ('rank 1', 'sleeps')]
    """
    ranks: dict[str, list[int]] = {}
    for rank, text in told:
        ranks.setdefault(text, []).append(rank)
    for text, those in ranks.items():
        yield f"{'ranks' if len(those) > 1 else 'rank'} {intervals(those)}", text


def intervals(numbers: Sequence[int]) -> str:
    """Numbers in order, runs of three and more as "3-7"."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs)

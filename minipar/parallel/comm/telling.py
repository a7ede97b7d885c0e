"""Telling people about many ranks in few words."""

from collections.abc import Iterable, Iterator, Sequence


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

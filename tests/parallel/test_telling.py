"""What the errors of a communicator say of many ranks: each thing once."""

from minipar.parallel.comm.telling import calls_differ, waited_too_long, waits_in_vain


def test_who_called_what():
    assert calls_differ([(0, "a #1"), (1, "b #1")]) == "rank 0 called a #1, but rank 1 called b #1"
    calls = [(rank, f"split #{rank}") for rank in range(3)]
    assert calls_differ(calls) == "rank 0 called split #0, rank 1 called split #1, but rank 2 called split #2"
    many = calls_differ((rank, f"split #{rank}") for rank in range(100))
    assert many.endswith("rank 3 called split #3, and the others called something else again")


def test_who_waits_for_whom():
    assert waits_in_vain(2, "in recv from rank 1, tag 0", 1) == (
        "rank 2, in recv from rank 1, tag 0, waits in vain: rank 1 has finished"
    )
    late = [(3, "compiling a kernel"), (1, "running user code"), (2, "compiling a kernel")]
    assert waited_too_long(0, "in barrier #2", 0.5, late) == (
        "rank 0, in barrier #2, waited 0.5 s: ranks 2, 3 are compiling a kernel; rank 1 is running user code"
    )

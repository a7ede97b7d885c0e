"""Programs that mpiexec starts: however they end, they end soon, say why, and leave nothing behind."""

import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from minipar.parallel.comm import host_memory
from tests.parallel.mpi_programs import ROOT, mpiexec_of, needs_mpi, run_job, variables_for

pytestmark = needs_mpi

BEGIN = """
import os, signal, sys, time
import numpy as np
from minipar import parallel

comm = parallel.init(timeout=2)
x = np.arange(3.0)
comm.all_reduce(x)
"""


def test_a_program_ends_without_a_word(tmp_path):
    script = BEGIN + "print(comm.rank, comm.size, x.tolist(), parallel.init() is comm, flush=True)"
    ended = run_job(tmp_path, 3, script)
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.lines() == [f"{rank} 3 [0.0, 3.0, 6.0] True" for rank in range(3)]


def test_the_script_of_the_page(tmp_path):
    page = (ROOT / "docs" / "cluster.md").read_text()
    script = page.partition("```python\n")[2].partition("```")[0]
    alone, four = (run_job(tmp_path, ranks, script) for ranks in (0, 4))
    assert (alone.code, four.code, alone.stderr, four.stderr) == (0, 0, "", "")
    assert alone.lines() == four.lines()
    assert [line[:4] for line in four.lines()] == ["0 0.", "1 0.", "2 0."]


def test_launch_runs_its_function_on_the_ranks_that_are_there(tmp_path):
    script = BEGIN + "print(parallel.launch(lambda comm, factor: factor * comm.rank, 10), flush=True)"
    ended = run_job(tmp_path, 3, script)
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.lines() == ["[0, 10, 20]"] * 3


ENDS = {  # what rank 1 does while the others wait for it; what is said; seconds that it may take, apart from the start
    "an exception": ("raise ValueError('boom')", "ValueError: boom", 1),
    "sys.exit(0)": ("sys.exit(0)", "waits in vain: rank 1 has finished", 2),
    "sys.exit(3)": ("sys.exit(3)", "waits in vain: rank 1 has finished", 2),
    "SIGKILL": ("os.kill(os.getpid(), signal.SIGKILL)", "", 1),
    "stopped": ("os.kill(os.getpid(), signal.SIGSTOP)", "waited 2 s: ", 3),
    "sleeping": ("time.sleep(30)", "waited 2 s: ", 3),
}
START = 6  # seconds: this machine may be busy


@pytest.mark.parametrize("way", ENDS)
@pytest.mark.parametrize("hosts", ["one host", "three hosts"])
def test_a_rank_that_fails_ends_the_job(tmp_path, way, hosts):
    failure, said, seconds = ENDS[way]
    script = BEGIN + f"if comm.rank == 1:\n    {failure}\ncomm.all_reduce(x)\nprint('went on')\n"
    ended = run_job(tmp_path, 3, script, MINIPAR_HOST="" if hosts == "one host" else "a,b,c")
    assert ended.code != 0
    assert "went on" not in ended.stdout
    assert said in ended.stderr
    if "waited" in said:
        seen = hosts == "one host"
        assert ("rank 1 is running user code after all_reduce #1" in ended.stderr) == seen
        assert ("on another host, where nothing is seen from here" in ended.stderr) != seen
    assert ended.seconds < START + seconds


@pytest.mark.parametrize("call", ["gather", "reduce", "broadcast"])
@pytest.mark.parametrize("hosts", ["", "a,b,c,d"])
def test_ranks_that_are_through_a_call_early_may_finish(tmp_path, call, hosts):
    script = BEGIN + f"if comm.rank == 2:\n    time.sleep(1.5)\ncomm.{call}(x)\nprint('ok', flush=True)\n"
    ended = run_job(tmp_path, 4, script, MINIPAR_HOST=hosts)
    assert (ended.code, ended.stderr, ended.stdout.count("ok")) == (0, "", 4)


def test_an_exit_code_that_nobody_waits_for_is_that_of_the_job(tmp_path):
    assert run_job(tmp_path, 2, BEGIN + "sys.exit(3)").code == 3


def test_a_rank_may_work_on_when_the_others_have_finished(tmp_path):
    script = BEGIN + "if comm.rank == 1:\n    time.sleep(1.5)\n    print('late', flush=True)\n"
    ended = run_job(tmp_path, 3, script)
    assert (ended.code, ended.stdout, ended.stderr) == (0, "late\n", "")


def test_but_not_for_longer_than_the_timeout(tmp_path):
    script = BEGIN + "if comm.rank == 1:\n    time.sleep(30)\n"
    ended = run_job(tmp_path, 2, script)
    assert ended.code != 0
    told = (
        "minipar: rank 0 has finished, and has waited 2 s for the others: rank 1 is running user code after all_reduce"
    )
    assert told in ended.stderr
    assert ended.seconds < START + 3


PROMPT_ENDS = {
    "a caught error": "try:\n    comm.recv(1) if comm.rank == 0 else (time.sleep(3), comm.barrier())\n"
    "except Exception:\n    print('caught')",
    "another excepthook": "sys.excepthook = lambda *error: None\nif comm.rank == 1:\n    1 / 0\ncomm.barrier()",
}


@pytest.mark.parametrize("way", PROMPT_ENDS)
@pytest.mark.parametrize("hosts", ["", "a,b"])
def test_a_job_whose_ranks_are_out_of_step_ends(tmp_path, way, hosts):
    ended = run_job(tmp_path, 2, BEGIN + PROMPT_ENDS[way], MINIPAR_HOST=hosts)
    assert ended.code != 0
    assert "ends the job: rank 0 has failed" in ended.stderr
    assert ended.seconds < START + 5


def test_a_rank_waits_for_ranks_of_other_hosts_that_are_at_work(tmp_path):
    script = BEGIN + "pair = comm.split(min(comm.rank, 1))\nif comm.rank:\n    for _ in range(8):\n"
    script += "        pair.all_reduce(x)\n        time.sleep(0.5)\n"
    ended = run_job(tmp_path, 3, script, MINIPAR_HOST="a,b,b")
    assert (ended.code, ended.stderr) == (0, "")


@pytest.mark.parametrize("end", ["sys.exit(0)", "raise ValueError('of the child')"])
def test_a_forked_process_is_nobodys_rank(tmp_path, end):
    script = BEGIN + f"if comm.rank == 1 and os.fork() == 0:\n    {end}\ntime.sleep(1)\ncomm.barrier()\nprint('ok')\n"
    ended = run_job(tmp_path, 2, script)
    assert (ended.code, ended.stdout) == (0, "ok\nok\n")
    assert ("of the child" in ended.stderr) == ("raise" in end)


def test_without_shared_memory_a_job_goes_by_messages(tmp_path):
    """And files whose names are no text, which a rank may have mapped, are in nobody's way."""
    script = """
        import mmap, os, sys
        from minipar.parallel.comm import host_memory

        def create_block(nbytes):
            raise OSError("too little")

        host_memory.create_block = create_block
        with open(os.fsencode(sys.argv[0]) + b"\\xff", "wb+") as file:
            file.truncate(4096)
            mapped = mmap.mmap(file.fileno(), 0)
        """
    script = textwrap.dedent(script) + BEGIN + "print(x.sum(), comm._job.seen == {comm.rank})"
    ended = run_job(tmp_path, 2, script)
    assert (ended.code, ended.stderr, ended.lines()) == (0, "", ["6.0 True"] * 2)


def test_an_empty_file_is_not_the_memory_of_a_host(tmp_path):
    with (tmp_path / "empty").open("wb+") as file:
        assert host_memory._find(os.getpid(), file.fileno(), b"proof") is None


@pytest.mark.parametrize("way", ["the option", "the environment"])
def test_debug_names_calls_that_differ(tmp_path, way):
    script = BEGIN + "if comm.rank == 1:\n    comm.barrier()\nelse:\n    comm.all_reduce(x, 'max')\nprint('went on')\n"
    if way == "the option":
        script = script.replace("timeout=2", "timeout=2, debug=True")
    ended = run_job(tmp_path, 3, script, MINIPAR_DEBUG="1" if way == "the environment" else "")
    assert ended.code != 0
    assert "went on" not in ended.stdout
    assert "ranks 0, 2 called all_reduce #2 float64 (3,) max, but rank 1 called barrier #2" in ended.stderr


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("elastic=True", "elastic=True needs Open MPI, and a job started with `mpiexec --with-ft ulfm`"),
        ("timeout=0", "timeout=0 must be a positive number"),
    ],
)
def test_options_that_cannot_be(tmp_path, option, said):
    ended = run_job(tmp_path, 2, f"from minipar import parallel\nparallel.init({option})")
    assert ended.code != 0
    assert said in ended.stderr


def test_options_come_with_the_first_call(tmp_path):
    ended = run_job(tmp_path, 2, BEGIN + "parallel.init(debug=True)")
    assert ended.code != 0
    assert "RuntimeError: debug, hierarchical and elastic are for the first call of init" in ended.stderr


def test_ranks_do_not_outlive_mpiexec(tmp_path, wait_until_gone):
    file = tmp_path / "program.py"
    file.write_text(BEGIN + "print(os.getpid(), flush=True)\ntime.sleep(60)")
    process = subprocess.Popen(
        [*mpiexec_of(sys.executable), "-n", "2", sys.executable, str(file)],
        stdout=subprocess.PIPE,
        text=True,
        env=variables_for(sys.executable, tmp_path),
        start_new_session=True,
    )
    with process.stdout:
        pids = [int(process.stdout.readline()) for _ in range(2)]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert wait_until_gone(pids) == []
    time.sleep(0.1)

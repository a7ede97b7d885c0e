"""Settings of the whole suite."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from hypothesis import settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell has it for what runs in the background
    signal.signal(signal.SIGINT, signal.default_int_handler)  # programs that tests start and interrupt would inherit it

settings.register_profile("ci", deadline=None, max_examples=30, derandomize=True, print_blob=True)
settings.register_profile("dev", deadline=None, max_examples=30)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.hookimpl(optionalhook=True)  # of xdist; its own `--dist loadgroup` groups nothing with pytest 9.2
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `-n 2`, one worker has all tests of ranks, which need both cores, one after the other."""
    from xdist.scheduler import LoadScopeScheduling

    class OneForRanks(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "ranks" if nodeid.startswith("tests/parallel/") else nodeid.partition("::")[0]

    return OneForRanks(config, log)


_own_settings: dict[object, settings] = {}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Every test draws the same random numbers, whichever ran before it, and has Hypothesis's settings as written.

    Hypothesis's plugin wraps them once more for every parameter of a test; after a thousand it runs out of stack
    (6.170, without a database, as in CI).
    """
    import minipar  # not before tests/cuda has said what Numba is to be

    minipar.manual_seed(0)
    test = getattr(item, "obj", None)
    function = getattr(test, "__func__", test)
    if hasattr(function, "_hypothesis_internal_use_settings"):
        own = _own_settings.setdefault(function, function._hypothesis_internal_use_settings)
        function._hypothesis_internal_use_settings = own


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where every oracle is installed, a skip is a failure, but for want of a GPU or of a package of the system's."""
    if not os.environ.get("MINIPAR_REQUIRE_ORACLES"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None:  # in a worker of xdist
        return
    skips = [str(report.longrepr) for report in reporter.stats.get("skipped", [])]
    unexpected = [reason for reason in skips if "GPU" not in reason and "apt install" not in reason]
    if unexpected:
        reporter.write_line(f"{len(unexpected)} tests were skipped although every oracle should be here:", red=True)
        for reason in unexpected:
            reporter.write_line(f"  {reason}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

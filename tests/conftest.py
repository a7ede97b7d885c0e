"""Settings of the whole suite."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

settings.register_profile("ci", deadline=None, max_examples=30, derandomize=True, print_blob=True)
settings.register_profile("dev", deadline=None, max_examples=30)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


_own_settings: dict[object, settings] = {}


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Each parameter of a test starts from the settings that the test was written with.

    Hypothesis's plugin wraps them once more for every parameter; after a thousand it runs out of stack (6.170, without
    a database, as in CI).
    """
    test = getattr(item, "obj", None)
    function = getattr(test, "__func__", test)
    if hasattr(function, "_hypothesis_internal_use_settings"):
        own = _own_settings.setdefault(function, function._hypothesis_internal_use_settings)
        function._hypothesis_internal_use_settings = own


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where every oracle is installed, a skip for any reason but a missing GPU is a failure."""
    if not os.environ.get("MINIPAR_REQUIRE_ORACLES"):
        return
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skips = [str(report.longrepr) for report in reporter.stats.get("skipped", [])]
    unexpected = [reason for reason in skips if "GPU" not in reason]
    if unexpected:
        reporter.write_line(f"{len(unexpected)} tests were skipped although every oracle should be here:", red=True)
        for reason in unexpected:
            reporter.write_line(f"  {reason}", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED

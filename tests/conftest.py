"""Settings of the whole suite."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings
from hypothesis.database import InMemoryExampleDatabase

# With Hypothesis's own choice for CI, no database, a test of a thousand parameters runs out of stack: each looks for
# the database through the settings of all that ran before it.
settings.register_profile(
    "ci", deadline=None, max_examples=30, derandomize=True, print_blob=True, database=InMemoryExampleDatabase()
)
settings.register_profile("dev", deadline=None, max_examples=30)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


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

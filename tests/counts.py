"""Counts of the faults that the tests try, by kind, in tests/counts.json.

A test is marked with its kind, ``@pytest.mark.tried("killed stages")``, and counts once; one that tries several faults
says how many with ``record_property("faults", 7)``. A plain `pytest` in the root writes the file if it ends without a
failure and every such test passes.
"""

import json
import os
from collections import Counter
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("counts.json")


class Counts:
    """A plugin of the process of pytest that hears of every test."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.all_passed = True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the faults of a test that passed."""
        found = dict(report.user_properties)
        if "tried" not in found:
            return
        self.all_passed &= report.passed
        if report.when == "call" and report.passed:
            self.counts[str(found["tried"])] += int(str(found.get("faults", 1)))

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Write the file, unless something was left out."""
        started = session.config.invocation_params
        whole = not started.args and started.dir == session.config.rootpath and not os.environ.get("PYTEST_ADDOPTS")
        # The status also tells of an interrupt, a file that cannot be imported and a test process that died.
        if whole and exitstatus == pytest.ExitCode.OK and self.all_passed and self.counts:
            FILE.write_text(json.dumps(self.counts, indent=2, sort_keys=True) + "\n", encoding="utf-8")

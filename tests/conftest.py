"""What holds for tests of every kind, and what is printed about them in the end.

Before: tests under faults write down their figures as the property ``trial``.
After: they stand together, below the results.
"""

import pytest
from hypothesis import settings

# Tests run beside builds of images: how long an example takes says nothing of the code.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Tell of every trial under faults how many tasks there were and what became of them.

    Here and not beside those tests: they are in several folders, and with several processes,
    the one that prints has not loaded what is further down.
    """
    lines = [
        str(text)
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, text in getattr(report, "user_properties", ())
        if name == "trial" and report.when == "call"
    ]
    if lines:
        terminalreporter.section("tasks under faults")
        for line in sorted(lines):
            terminalreporter.write_line(line)

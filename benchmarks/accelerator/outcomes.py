"""A plugin of pytest: each test's outcome and figures, as a line of JSON in $OUTCOMES, as soon as it has ended."""

import json
import os


def pytest_runtest_logreport(report):
    """Of a test itself; of what is around it only where that has gone wrong, or left the test out."""
    if report.when != "call" and report.passed:
        return
    words = "" if report.passed else str(report.longrepr)[-1000:]
    record = {"name": report.nodeid.rpartition("::")[2], "outcome": report.outcome, "seconds": report.duration}
    record |= {"figures": dict(report.user_properties), "words": words}
    with open(os.environ["OUTCOMES"], "a") as file:
        file.write(json.dumps(record) + "\n")

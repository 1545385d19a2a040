"""The chart's own test, on the release that these tests run against."""

import subprocess

from hack.stack.installing import OPERATOR_NAMESPACE, RELEASE
from platform_under_test import kubectl

TEST_SECONDS = 120


def test_helm_finds_that_the_installed_operator_works() -> None:
    arguments = [RELEASE, f"--namespace={OPERATOR_NAMESPACE}", "--timeout=100s"]

    done = subprocess.run(
        ["helm", "test", *arguments],
        capture_output=True,
        text=True,
        timeout=TEST_SECONDS,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert f"TEST SUITE:     test-{RELEASE}" in done.stdout
    assert "Phase:          Succeeded" in done.stdout
    left = kubectl("-n", OPERATOR_NAMESPACE, "get", "pods,services", "-o", "name")
    assert f"test-{RELEASE}" not in left
    assert f"health-of-{RELEASE}" not in left

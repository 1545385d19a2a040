"""Platforms of the operator's own tests: small, and each in a namespace of its own.

Before: the operator's chart is installed, for all namespaces.
After: tests damage, change and delete these without regard for others.
"""

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from installed_operator import operator_outage
from operator_resources import SMALL, Apply
from platform_under_test import Platform, namespace

READY_SECONDS = 90.0


@pytest.fixture(scope="session")
def apply() -> Apply:
    """Applies a resource whose spec is ``SMALL`` with the given parts replaced."""

    def apply_spec(platform: Platform, parts: dict[str, Any]) -> None:
        manifest = {
            "apiVersion": "taskorchestrator.dev/v1alpha1",
            "kind": "Orchestrator",
            "metadata": {"name": platform.name},
            "spec": {**SMALL, **parts},
        }
        platform.kubectl("apply", "--server-side", "-f", "-", input_text=json.dumps(manifest))

    return apply_spec


@pytest.fixture(scope="session")
def home() -> Iterator[str]:
    """A namespace for all of them."""
    with namespace(f"e2e-operator-{secrets.token_hex(3)}") as name:
        yield name


@pytest.fixture(scope="session")
def small(home: str, apply: Apply) -> Platform:
    """A small platform, ready; every test leaves it so."""
    platform = Platform(home, "small")
    apply(platform, {})
    platform.await_ready(seconds=READY_SECONDS)
    return platform


@pytest.fixture
def operator_away() -> Iterator[None]:
    """The time in which no operator runs."""
    with operator_outage():
        yield

"""What platforms of the operator's own tests look like: small, to start soon and take little.

Before: nothing.
After: fixtures and tests apply resources with these specs.
"""

from collections.abc import Callable
from typing import Any

from platform_under_test import Platform

TINY: dict[str, Any] = {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "512Mi"}}
SMALL: dict[str, Any] = {
    "api": {"replicas": 2, "resources": TINY},
    "worker": {"resources": TINY, "scaling": {"max": 2}},
    "postgres": {"managed": {"storage": {"size": "512Mi"}, "resources": TINY}},
    "rabbitmq": {"managed": {"storage": {"size": "512Mi"}, "resources": TINY}},
}

Apply = Callable[[Platform, dict[str, Any]], None]
"""Applies a resource whose spec is ``SMALL`` with the given parts replaced."""

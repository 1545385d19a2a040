"""The spec's rules and defaults, as the loop's own guard sees them."""

from typing import Any

import pytest

from operator_testing.world import a_resource
from orchestrator_operator.guarding import guard
from orchestrator_operator.images import DefaultImages, resolve_images
from orchestrator_operator.problems import Problem
from orchestrator_operator.spec import OrchestratorSpec


def test_an_empty_spec_is_valid() -> None:
    assert isinstance(guard(a_resource({})), OrchestratorSpec)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ({"worker": {"scaling": {"min": 3, "max": 2}}}, "min must not be above max"),
        ({"worker": {"taskTimeout": "25h"}}, "taskTimeout must be between 1s and 24h"),
        ({"results": {"ttl": "30m"}}, "ttl must be between 1h and 87600h"),
        (
            {
                "worker": {
                    "smtp": {
                        "host": "mail",
                        "from": "a@example.com",
                        "security": "None",
                        "secretRef": {"name": "login"},
                    }
                }
            },
            "not sent over an unprotected connection",
        ),
        *(
            (
                {
                    "results": {
                        "s3": {
                            "bucket": "results",
                            "endpoint": endpoint,
                            "secretRef": {"name": "login"},
                        }
                    }
                },
                "endpoint must be http:// or https:// with a host",
            )
            for endpoint in ("s3.example.com", "https://s3:65536", "https://s3/path", "https://")
        ),
        ({"worker": {"scaling": {"idleAfter": "9s"}}}, "idleAfter must be between 10s and 24h"),
        ({"api": {"accessTokenTTL": "25h"}}, "accessTokenTTL must be between 1m and 24h"),
        (
            {"api": {"accessTokenTTL": "2h", "refreshTokenTTL": "1h"}},
            "refreshTokenTTL must be longer than accessTokenTTL",
        ),
        (
            {"postgres": {"managed": {"storage": {"size": "1Mi"}}}},
            "size must be at least 256Mi",
        ),
        (
            {"api": {"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "500m"}}}},
            "requests.cpu must not be above limits.cpu",
        ),
        (
            {"api": {"rateLimit": {"preset": "Strict", "capacity": 5, "refillPerMinute": 60}}},
            "preset can't stand beside capacity and refillPerMinute",
        ),
        (
            {"api": {"rateLimit": {"auth": {"capacity": 5}}}},
            "capacity and refillPerMinute must be given together",
        ),
        (
            {"api": {"rateLimit": {"users": [{"username": "etl"}]}}},
            "a user's own limit needs preset, or capacity and refillPerMinute",
        ),
        ({"api": {"rateLimit": {"preset": "Lenient"}}}, "rateLimit.preset"),
        ({"api": {"files": {"maxSize": "2Gi"}}}, "maxSize must be between 1Mi and 1Gi"),
        ({"api": {"files": {"quota": "10Mi"}}}, "quota must not be below maxSize"),
        ({"api": {"files": {"ttl": "9000h"}}}, "ttl must be between 1h and 8760h"),
        ({"deletionPolicy": "Keep"}, "deletionPolicy"),
        (
            {"worker": {"template": {"env": [{"name": "DB_HOST", "value": "elsewhere"}]}}},
            "SMTP_ are the operator's",
        ),
        (
            {"worker": {"template": {"env": [{"name": "MODEL", "valueFrom": {}}]}}},
            "set exactly one of secretKeyRef and configMapKeyRef",
        ),
        (
            {"api": {"template": {"metadata": {"labels": {"app.kubernetes.io/name": "x"}}}}},
            "labels that begin with app.kubernetes.io/",
        ),
        ({"edge": {"trustedProxies": ["300.0.0.0/8"]}}, "trustedProxies must be blocks"),
        ({"edge": {"trustedProxies": ["10.0.0.1; deny all/8"]}}, "trustedProxies"),
        ({"edge": {"ingress": {"host": "two words"}}}, "ingress.host"),
        ({"postgres": {}}, "set exactly one of managed and external"),
        (
            {"redis": {"managed": {}, "external": {"secretRef": {"name": "theirs"}}}},
            "set exactly one of managed and external",
        ),
    ],
)
def test_a_broken_rule_is_named(spec: dict[str, Any], sentence: str) -> None:
    problem = guard(a_resource(spec))

    assert isinstance(problem, Problem)
    assert problem.reason == "InvalidSpec"
    assert sentence in problem.message


def test_images_follow_the_version_unless_they_are_given() -> None:
    spec = OrchestratorSpec.model_validate({"version": "1.2.3", "images": {"redis": "mine:1"}})

    images = resolve_images(spec, DefaultImages(worker="mirror.example/worker:{version}-slim"))

    assert images.api == "orchestrator/api:1.2.3"
    assert images.worker == "mirror.example/worker:1.2.3-slim"
    assert images.redis == "mine:1"
    assert images.postgres == "postgres:17"

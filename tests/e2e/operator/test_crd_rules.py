"""Each rule of the resource, against a real API server: refused with a sentence, or taken."""

import json
import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator_operator.crd import build_crd
from platform_under_test import KubectlError, Platform, namespace

Spec = dict[str, Any]

CREATED: dict[str, tuple[Spec, str]] = {
    "min above max": ({"worker": {"scaling": {"min": 3, "max": 2}}}, "min must not be above max"),
    "long task": ({"worker": {"taskTimeout": "25h"}}, "taskTimeout must be between 1s and 24h"),
    "no task time": ({"worker": {"taskTimeout": "0s"}}, "taskTimeout must be between 1s and 24h"),
    "slow promise": (
        {"worker": {"scaling": {"targetLatency": "2h"}}},
        "targetLatency must be between 1s and 1h",
    ),
    "hasty idleness": (
        {"worker": {"scaling": {"idleAfter": "1s"}}},
        "idleAfter must be between 10s and 24h",
    ),
    "long access token": (
        {"api": {"accessTokenTTL": "48h"}},
        "accessTokenTTL must be between 1m and 24h",
    ),
    "long refresh token": (
        {"api": {"refreshTokenTTL": "9000h"}},
        "refreshTokenTTL must be between 1h and 8760h",
    ),
    "refresh before access": (
        {"api": {"accessTokenTTL": "3h", "refreshTokenTTL": "2h"}},
        "refreshTokenTTL must be longer than accessTokenTTL",
    ),
    "cpu above its limit": (
        {"api": {"resources": {"requests": {"cpu": 2}, "limits": {"cpu": "1500m"}}}},
        "requests.cpu must not be above limits.cpu",
    ),
    "memory above its limit": (
        {
            "redis": {
                "managed": {
                    "resources": {"requests": {"memory": "1Gi"}, "limits": {"memory": "512Mi"}}
                }
            }
        },
        "requests.memory must not be above limits.memory",
    ),
    "results for a moment": (
        {"results": {"ttl": "30m"}},
        "ttl must be between 1h and 87600h",
    ),
    "a password for everybody to read": (
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
        "a user name and password are not sent over an unprotected connection",
    ),
    "an endpoint without a scheme": (
        {
            "results": {
                "s3": {
                    "bucket": "results",
                    "endpoint": "s3.example.com",
                    "secretRef": {"name": "login"},
                }
            }
        },
        "endpoint must be http:// or https:// with a host",
    ),
    "two ways to limit": (
        {"api": {"rateLimit": {"preset": "Strict", "capacity": 5, "refillPerMinute": 60}}},
        "preset can't stand beside capacity and refillPerMinute",
    ),
    "a limit's half": (
        {"api": {"rateLimit": {"auth": {"refillPerMinute": 60}}}},
        "capacity and refillPerMinute must be given together",
    ),
    "a user without a limit": (
        {"api": {"rateLimit": {"users": [{"username": "etl"}]}}},
        "a user's own limit needs preset, or capacity and refillPerMinute",
    ),
    "a user twice": (
        {
            "api": {
                "rateLimit": {
                    "users": [
                        {"username": "etl", "preset": "Strict"},
                        {"username": "etl", "preset": "Generous"},
                    ]
                }
            }
        },
        "Duplicate value",
    ),
    "a user in capitals": (
        {"api": {"rateLimit": {"users": [{"username": "ETL", "preset": "Strict"}]}}},
        "spec.api.rateLimit.users[0].username",
    ),
    "unknown preset": ({"api": {"rateLimit": {"preset": "Lax"}}}, 'supported values: "Strict"'),
    "no request at all": (
        {"api": {"rateLimit": {"capacity": 0, "refillPerMinute": 1}}},
        "spec.api.rateLimit.capacity",
    ),
    "a huge file": (
        {"api": {"files": {"maxSize": "2Gi", "quota": "4Gi"}}},
        "maxSize must be between 1Mi and 1Gi",
    ),
    "a huge quota": ({"api": {"files": {"quota": "2Ti"}}}, "quota must be between 1Mi and 1Ti"),
    "a quota for no file": (
        {"api": {"files": {"quota": "10Mi"}}},
        "quota must not be below maxSize",
    ),
    "a file for a moment": ({"api": {"files": {"ttl": "10m"}}}, "ttl must be between 1h and 8760h"),
    "tiny volume": (
        {"postgres": {"managed": {"storage": {"size": "1Mi"}}}},
        "size must be at least 256Mi",
    ),
    "no duration": ({"worker": {"taskTimeout": "ten minutes"}}, "spec.worker.taskTimeout"),
    "days": ({"api": {"refreshTokenTTL": "7d"}}, "spec.api.refreshTokenTTL"),
    "no size": ({"postgres": {"managed": {"storage": {"size": "much"}}}}, "storage.size"),
    "no quantity": ({"api": {"resources": {"limits": {"memory": "lots"}}}}, "limits.memory"),
    "no version": ({"version": "latest"}, "spec.version"),
    "blank in an image": ({"images": {"api": "two words"}}, "spec.images.api"),
    "unknown mode": ({"worker": {"scaling": {"mode": "Magic"}}}, 'supported values: "Automatic"'),
    "unknown policy": ({"deletionPolicy": "Keep"}, 'supported values: "Retain", "Delete"'),
    "unknown network policy": ({"networkPolicy": "On"}, 'supported values: "Enforced"'),
    "unknown service type": ({"api": {"service": {"type": "ExternalName"}}}, "supported values"),
    "no API": ({"api": {"replicas": 0}}, "spec.api.replicas"),
    "too many slots": ({"worker": {"concurrency": 65}}, "spec.worker.concurrency"),
    "negative minimum": ({"worker": {"scaling": {"min": -1}}}, "spec.worker.scaling.min"),
    "a word for a number": ({"worker": {"concurrency": "four"}}, "spec.worker.concurrency"),
    "no Postgres": ({"postgres": {}}, "set exactly one of managed and external"),
    "a variable of the operator's": (
        {"worker": {"template": {"env": [{"name": "DB_HOST", "value": "elsewhere"}]}}},
        "names that begin with APP_, DB_",
    ),
    "a value from nowhere": (
        {"worker": {"template": {"env": [{"name": "MODEL", "valueFrom": {}}]}}},
        "set exactly one of secretKeyRef and configMapKeyRef",
    ),
    "two values": (
        {
            "worker": {
                "template": {
                    "env": [
                        {
                            "name": "MODEL",
                            "value": "small",
                            "valueFrom": {"secretKeyRef": {"name": "model", "key": "token"}},
                        }
                    ]
                }
            }
        },
        "value and valueFrom can't stand together",
    ),
    "an annotation of the operator's": (
        {
            "api": {
                "template": {
                    "metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "7"}}
                }
            }
        },
        "annotations that begin with app.kubernetes.io/",
    ),
    "a label of the operator's": (
        {"api": {"template": {"metadata": {"labels": {"app.kubernetes.io/name": "x"}}}}},
        "labels that begin with app.kubernetes.io/",
    ),
    "no block of addresses": (
        {"edge": {"trustedProxies": ["300.0.0.0/8"]}},
        "trustedProxies must be blocks of addresses",
    ),
    "no name of a host": ({"edge": {"ingress": {"host": "two words"}}}, "spec.edge.ingress.host"),
    "two of Redis": (
        {"redis": {"managed": {}, "external": {"secretRef": {"name": "cache"}}}},
        "set exactly one of managed and external",
    ),
    "no Secret of a store": ({"redis": {"external": {}}}, "spec.redis.external.secretRef"),
    "two brokers": (
        {"rabbitmq": {"managed": {"replicas": 2}}},
        "replicas must be 1, or 3 for a quorum",
    ),
    "no RabbitMQ": ({"rabbitmq": {}}, "set exactly one of managed and external"),
}
NAMED = {
    "a" * 41: "metadata.name must have at most 40 characters",
    "2fast": "metadata.name must begin with a letter",
    "dotted.name": "metadata.name must begin with a letter",
}
CHANGED: dict[str, tuple[Spec, Spec, str]] = {
    "a shrunk volume": (
        {"postgres": {"managed": {"storage": {"size": "2Gi"}}}},
        {"postgres": {"managed": {"storage": {"size": "1Gi"}}}},
        "size can grow but not shrink",
    ),
    "another storage class": (
        {"postgres": {"managed": {"storage": {"size": "2Gi", "class": "standard"}}}},
        {"postgres": {"managed": {"storage": {"size": "2Gi", "class": "fast"}}}},
        "class can't be changed",
    ),
    "a storage class later": (
        {"rabbitmq": {"managed": {"storage": {"size": "2Gi"}}}},
        {"rabbitmq": {"managed": {"storage": {"size": "2Gi", "class": "fast"}}}},
        "class can't be changed",
    ),
    "a database that somebody else runs, later": (
        {},
        {"postgres": {"managed": None, "external": {"secretRef": {"name": "db"}}}},
        "managed and external can't be exchanged",
    ),
    "replicas against the autoscaler": (
        {},
        {"worker": {"replicas": 5}},
        "replicas is decided by the autoscaler while scaling.mode is Automatic",
    ),
}
TAKEN: dict[str, Spec] = {
    "nothing at all": {},
    "an ingress": {
        "edge": {
            "ingress": {"host": "tasks.example.com", "tlsSecretRef": {"name": "tasks-tls"}},
            "trustedProxies": ["10.0.0.0/16", "fd00::/8"],
        }
    },
    "templates": {
        "images": {"pullSecrets": [{"name": "registry-login"}]},
        "worker": {
            "template": {
                "metadata": {"labels": {"cost-centre": "7"}},
                "spec": {
                    "nodeSelector": {"kubernetes.io/os": "linux"},
                    "tolerations": [{"key": "example.com/pool", "operator": "Exists"}],
                    "affinity": {"podAntiAffinity": {}},
                },
                "env": [{"name": "MODEL", "value": "small"}],
            }
        },
    },
    "stores of others": {
        "postgres": {"external": {"secretRef": {"name": "db"}}},
        "redis": {"external": {"secretRef": {"name": "cache"}, "tls": "Disabled"}},
        "rabbitmq": {"external": {"secretRef": {"name": "mq"}}},
    },
    "bounds themselves": {
        "api": {"accessTokenTTL": "1m", "refreshTokenTTL": "8760h", "replicas": 50},
        "worker": {
            "taskTimeout": "24h",
            "concurrency": 64,
            "scaling": {"min": 7, "max": 7, "targetLatency": "1s", "idleAfter": "24h"},
        },
    },
    "mixed notations": {
        "api": {"resources": {"requests": {"cpu": "1000m"}, "limits": {"cpu": 1}}},
        "worker": {"taskTimeout": "1h30m15s"},
        "postgres": {"managed": {"storage": {"size": "0.5Ti", "class": "fast"}}},
    },
    "own limits": {
        "api": {
            "rateLimit": {
                "capacity": 1000000,
                "refillPerMinute": 60000000,
                "auth": {"preset": "Strict"},
                "users": [
                    {"username": f"user-{number}", "capacity": 1, "refillPerMinute": 1}
                    for number in range(100)
                ],
            },
            "files": {"maxSize": "1Gi", "quota": "1Gi", "ttl": "8760h"},
        }
    },
    "fixed workers": {"worker": {"replicas": 0, "scaling": {"mode": "Fixed"}}},
    "everything open": {"networkPolicy": "Disabled", "deletionPolicy": "Delete"},
}
CHANGES_TAKEN: dict[str, tuple[Spec, Spec]] = {
    "numbers instead of a preset": (
        {"api": {"rateLimit": {"preset": "Generous"}}},
        {"api": {"rateLimit": {"capacity": 5, "refillPerMinute": 60}}},
    ),
    "a grown volume": (
        {"postgres": {"managed": {"storage": {"size": "2Gi"}}}},
        {"postgres": {"managed": {"storage": {"size": "3Gi"}}}},
    ),
    "replicas with another mode": (
        {},
        {"worker": {"replicas": 5, "scaling": {"mode": "Fixed"}}},
    ),
    "replicas of fixed workers": (
        {"worker": {"replicas": 5, "scaling": {"mode": "Fixed"}}},
        {"worker": {"replicas": 6, "scaling": {"mode": "Fixed"}}},
    ),
    "back to the autoscaler": (
        {"worker": {"replicas": 5, "scaling": {"mode": "External"}}},
        {"worker": {"replicas": 1, "scaling": {"mode": "Automatic"}}},
    ),
}


@pytest.fixture(scope="module")
def home() -> Iterator[Platform]:
    with namespace(f"e2e-rules-{secrets.token_hex(3)}") as name:
        yield Platform(name, "unused")


def a_resource(spec: Spec, name: str = "rules") -> str:
    return json.dumps(
        {
            "apiVersion": "taskorchestrator.dev/v1alpha1",
            "kind": "Orchestrator",
            # Paused: only the API server is of interest here.
            "metadata": {
                "name": name,
                "annotations": {"taskorchestrator.dev/reconcile": "paused"},
            },
            "spec": spec,
        }
    )


def create(home: Platform, manifest: str) -> None:
    home.kubectl("create", "--dry-run=server", "-f", "-", input_text=manifest)


def replaced(home: Platform, first: Spec, then: Spec) -> None:
    name = f"rules-{secrets.token_hex(3)}"
    home.kubectl("create", "-f", "-", input_text=a_resource(first, name))
    home.kubectl("replace", "-f", "-", input_text=a_resource(then, name))


@pytest.mark.parametrize("case", CREATED)
def test_a_bad_resource_is_refused_with_a_sentence(home: Platform, case: str) -> None:
    spec, sentence = CREATED[case]

    with pytest.raises(KubectlError) as refused:
        create(home, a_resource(spec))

    assert sentence in str(refused.value)


@pytest.mark.parametrize("name", NAMED)
def test_a_name_that_its_children_could_not_bear_is_refused(home: Platform, name: str) -> None:
    with pytest.raises(KubectlError) as refused:
        create(home, a_resource({}, name))

    assert NAMED[name] in str(refused.value)


@pytest.mark.parametrize("case", CHANGED)
def test_a_bad_change_is_refused_with_a_sentence(home: Platform, case: str) -> None:
    first, then, sentence = CHANGED[case]

    with pytest.raises(KubectlError) as refused:
        replaced(home, first, then)

    assert sentence in str(refused.value)


@pytest.mark.parametrize("case", TAKEN)
def test_a_good_resource_is_taken(home: Platform, case: str) -> None:
    create(home, a_resource(TAKEN[case]))


@pytest.mark.parametrize("case", CHANGES_TAKEN)
def test_a_good_change_is_taken(home: Platform, case: str) -> None:
    first, then = CHANGES_TAKEN[case]

    replaced(home, first, then)


def test_scaling_by_hand_is_refused_while_the_autoscaler_decides(home: Platform) -> None:
    home.kubectl("create", "-f", "-", input_text=a_resource({}, "by-hand"))

    with pytest.raises(KubectlError, match="decided by the autoscaler"):
        home.kubectl("scale", "orchestrator/by-hand", "--replicas=3")


def test_an_unknown_field_is_named(home: Platform) -> None:
    with pytest.raises(KubectlError, match=r'unknown field "spec.wroker"'):
        home.kubectl(
            "create",
            "--dry-run=server",
            "--validate=strict",
            "-f",
            "-",
            input_text=a_resource({"wroker": {}}),
        )


def test_no_rule_is_without_a_case() -> None:
    told = [sentence for _, sentence in CREATED.values()]
    told += [*NAMED.values(), *(sentence for _, _, sentence in CHANGED.values())]

    def messages(schema: dict[str, Any]) -> Iterator[str]:
        yield from (rule["message"] for rule in schema.get("x-kubernetes-validations", ()))
        for child in schema.get("properties", {}).values():
            yield from messages(child)
        if "items" in schema:
            yield from messages(schema["items"])

    [version] = build_crd()["spec"]["versions"]
    untested = {
        message
        for message in messages(version["schema"]["openAPIV3Schema"])
        if not any(sentence in message for sentence in told)
    }
    assert not untested

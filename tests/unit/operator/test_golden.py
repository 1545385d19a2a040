"""The manifests of whole platforms, word for word: a change of any of them shows in review.

``make generate`` writes the files anew.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from operator_testing.contexts import ALL_OPEN, CREDENTIALS, a_context
from orchestrator_operator.bindings import Binding
from orchestrator_operator.desiring import desired

GOLDEN = Path(__file__).parent / "golden"

SPECS: dict[str, dict[str, Any]] = {
    "default": {},
    "everything": {
        "version": "1.2.3",
        "images": {
            "worker": "registry.example/team/worker:7",
            "pullSecrets": [{"name": "registry-login"}],
        },
        "api": {
            "template": {
                "metadata": {"annotations": {"example.com/scrape": "no"}},
                "spec": {
                    "nodeSelector": {"pool": "services"},
                    "tolerations": [{"key": "example.com/pool", "operator": "Exists"}],
                },
            },
            "replicas": 1,
            "accessTokenTTL": "5m",
            "refreshTokenTTL": "24h",
            "resources": {"requests": {"cpu": 1}, "limits": {"memory": "1Gi"}},
            "service": {"type": "NodePort"},
            "rateLimit": {
                "capacity": 50,
                "refillPerMinute": 600,
                "auth": {"preset": "Strict"},
                "users": [{"username": "etl", "preset": "Generous"}],
            },
            "files": {"maxSize": "20Mi", "quota": "200Mi", "ttl": "24h"},
        },
        "edge": {
            "replicas": 3,
            "service": {"type": "LoadBalancer"},
            "ingress": {
                "host": "tasks.example.com",
                "className": "nginx",
                "tlsSecretRef": {"name": "tasks-tls"},
                "annotations": {"cert-manager.io/issuer": "letters"},
            },
            "trustedProxies": ["10.0.0.0/16", "fd00::/8"],
        },
        "worker": {
            "concurrency": 16,
            "taskTimeout": "2h",
            "replicas": 3,
            "scaling": {"mode": "Fixed"},
            "smtp": {
                "host": "mail.example.com",
                "from": "Reports <reports@example.com>",
                "secretRef": {"name": "mail-login"},
                "caSecretRef": {"name": "mail-authority"},
            },
            "sourceUrls": "Enabled",
            "template": {
                "metadata": {"labels": {"cost-centre": "7"}},
                "spec": {
                    "affinity": {
                        "nodeAffinity": {
                            "requiredDuringSchedulingIgnoredDuringExecution": {
                                "nodeSelectorTerms": [
                                    {"matchExpressions": [{"key": "gpu", "operator": "Exists"}]}
                                ]
                            }
                        }
                    },
                    "priorityClassName": "batch",
                },
                "env": [
                    {"name": "MODEL", "value": "small"},
                    {
                        "name": "MODEL_KEY",
                        "valueFrom": {"secretKeyRef": {"name": "model", "key": "token"}},
                    },
                    {"name": "ORCHESTRATOR_WORKER_CONCURRENCY", "value": "99"},
                ],
            },
        },
        "results": {
            "ttl": "48h",
            "s3": {
                "bucket": "results",
                "prefix": "team-a",
                "region": "eu-central-1",
                "secretRef": {"name": "bucket-login"},
                "caSecretRef": {"name": "bucket-authority"},
            },
        },
        "postgres": {"managed": {"storage": {"size": "100Gi", "class": "fast"}}},
        "networkPolicy": "Disabled",
        "deletionPolicy": "Delete",
    },
    "outside": {
        "monitoring": {
            "tracing": {"endpoint": "http://collector.monitoring:4318", "samplingPercent": 25}
        },
        "results": {
            "s3": {
                "bucket": "results",
                "endpoint": "http://s3.storage.svc:9000",
                "secretRef": {"name": "bucket-login"},
            },
        },
        "worker": {
            "smtp": {"host": "mail", "port": 1025, "security": "None", "from": "a@example.com"},
            "sourceUrls": "Enabled",
        },
    },
    "cluster": {"rabbitmq": {"managed": {"replicas": 3}}},
    "stores-of-others": {
        "postgres": {"external": {"secretRef": {"name": "db"}}},
        "redis": {"external": {"secretRef": {"name": "cache"}, "tls": "Disabled"}},
        "rabbitmq": {"external": {"secretRef": {"name": "mq"}}},
    },
}


CREDENTIALS_OF = {
    "stores-of-others": replace(
        CREDENTIALS,
        stores={
            "postgres": Binding(
                host="db.example.com",
                port=6432,
                user="app",
                password="secret-of-postgres",
                place="tasks",
                is_tls=True,
                authority="-----BEGIN CERTIFICATE-----",
            ),
            "redis": Binding(host="cache", port=6379, place="3"),
            "rabbitmq": Binding(
                host="mq",
                port=5671,
                user="app",
                password="secret-of-rabbitmq",
                place="tasks",
                is_tls=True,
            ),
        },
    ),
}


@pytest.mark.parametrize("name", SPECS)
def test_the_manifests_are_as_they_were(name: str) -> None:
    context = a_context(
        SPECS[name],
        credentials=CREDENTIALS_OF.get(name, CREDENTIALS),
        knows_pod_monitors=name == "everything",
    )
    plan = desired(context, ALL_OPEN)
    manifests = [step.manifest for step in plan.steps]

    text = yaml.safe_dump_all(manifests, sort_keys=False, width=100)

    file = GOLDEN / f"{name}.yaml"
    if os.environ.get("ORCHESTRATOR_UPDATE_GOLDEN"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), "run `make generate` and read the difference"

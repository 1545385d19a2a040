"""Secrets that users own and pods mount."""

from typing import Any

from operator_testing.world import NAMESPACE, World
from orchestrator_operator.kinds import SECRET, Manifest
from orchestrator_operator.spec import OrchestratorSpec
from orchestrator_operator.users_secrets import NeededSecret, needed_secrets

SPEC: dict[str, Any] = {
    "worker": {
        "smtp": {"host": "mail", "from": "a@example.com", "secretRef": {"name": "mail-login"}}
    },
}


def a_secret(name: str, *keys: str) -> Manifest:
    return {
        "apiVersion": SECRET.api_version,
        "kind": SECRET.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "data": dict.fromkeys(keys, "eA=="),
    }


def test_each_secret_that_pods_mount_is_needed() -> None:
    spec = OrchestratorSpec.model_validate(
        {
            "worker": {
                "smtp": {
                    **SPEC["worker"]["smtp"],
                    "caSecretRef": {"name": "mail-authority"},
                }
            },
            "results": {"s3": {"bucket": "results", "secretRef": {"name": "bucket-login"}}},
        }
    )

    assert needed_secrets(spec) == [
        NeededSecret("spec.worker.smtp.secretRef", "mail-login", ("username", "password")),
        NeededSecret("spec.worker.smtp.caSecretRef", "mail-authority", ("ca.crt",)),
        NeededSecret(
            "spec.results.s3.secretRef", "bucket-login", ("accessKeyId", "secretAccessKey")
        ),
    ]
    assert needed_secrets(OrchestratorSpec()) == []


async def test_a_secret_that_pods_wait_for_is_told_until_it_is_whole() -> None:
    world = World(SPEC)
    await world.settle()
    assert world.condition("Degraded") == ("True", "SecretIncomplete")
    assert world.message("Ready") == (
        "the Secret mail-login of spec.worker.smtp.secretRef is not there; create it with username,"
        " password; pods wait for it"
    )

    world.cluster.put(a_secret("mail-login", "username"))
    await world.settle()
    assert "of spec.worker.smtp.secretRef lacks password;" in world.message("Ready")

    world.cluster.put(a_secret("mail-login", "username", "password"))
    await world.settle()
    assert world.condition("Ready") == ("True", "AllComponentsReady")

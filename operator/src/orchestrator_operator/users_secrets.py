"""Secrets that users own and pods mount: whether they hold what is needed.

A pod waits without end for a key that is not there, and Kubernetes says so in an Event of the pod
alone.

Before: ``spec`` names Secrets.
After: ``status`` says which one lacks what.
"""

from dataclasses import dataclass

from orchestrator_operator.applying import Cluster
from orchestrator_operator.kinds import SECRET
from orchestrator_operator.manifests import bucket, mail
from orchestrator_operator.outside import SecretReference
from orchestrator_operator.problems import SECRET_INCOMPLETE, Problem
from orchestrator_operator.spec import OrchestratorSpec


@dataclass(frozen=True, slots=True)
class NeededSecret:
    """Keys that pods mount."""

    field: str
    """Where the spec names it."""
    name: str
    keys: tuple[str, ...]


def needed_secrets(spec: OrchestratorSpec) -> list[NeededSecret]:
    """Return what pods mount of Secrets that are not ours."""
    named: list[tuple[str, SecretReference | None, tuple[str, ...]]] = []
    smtp, s3 = spec.worker.smtp, spec.results.s3
    if smtp is not None:
        named += [
            ("spec.worker.smtp.secretRef", smtp.secret_ref, mail.LOGIN),
            ("spec.worker.smtp.caSecretRef", smtp.ca_secret_ref, (mail.AUTHORITY,)),
        ]
    if s3 is not None:
        named += [
            ("spec.results.s3.secretRef", s3.secret_ref, bucket.LOGIN),
            ("spec.results.s3.caSecretRef", s3.ca_secret_ref, (bucket.AUTHORITY,)),
        ]
    return [NeededSecret(field, ref.name, keys) for field, ref, keys in named if ref is not None]


async def find_incomplete(
    cluster: Cluster, namespace: str, spec: OrchestratorSpec
) -> list[Problem]:
    """Return a problem for each Secret that pods wait for."""
    problems = []
    for needed in needed_secrets(spec):
        secret = await cluster.get(SECRET, namespace, needed.name)
        held = {} if secret is None else secret.get("data") or {}
        missing = [key for key in needed.keys if key not in held]
        if missing:
            keys = ", ".join(missing)
            told = f"is not there; create it with {keys}" if secret is None else f"lacks {keys}"
            problems.append(
                Problem(
                    SECRET_INCOMPLETE,
                    f"the Secret {needed.name} of {needed.field} {told}; pods wait for it",
                )
            )
    return problems

"""Reading a resource: its spec as a model, or what is wrong with it.

The API server has checked the same rules, but a resource may be older than a
rule, or the CRD older than the operator.

Before: ``reconciling`` has read the resource.
After: builders get a spec that keeps every rule.
"""

from pydantic import ValidationError

from orchestrator_operator.kinds import Manifest
from orchestrator_operator.names import PAUSE_ANNOTATION, PAUSE_VALUE
from orchestrator_operator.problems import INVALID_SPEC, Problem
from orchestrator_operator.spec import OrchestratorSpec


def guard(resource: Manifest) -> OrchestratorSpec | Problem:
    """Return the spec, or a problem that names each field that breaks a rule."""
    try:
        return OrchestratorSpec.model_validate(resource.get("spec") or {})
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(('spec', *map(str, fault['loc'])))}: "
            f"{fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors(include_input=False, include_url=False)
        )
        return Problem(INVALID_SPEC, faults)


def is_paused(resource: Manifest) -> bool:
    """Return whether somebody asked the operator to keep its hands off."""
    annotations = resource["metadata"].get("annotations") or {}
    return annotations.get(PAUSE_ANNOTATION) == PAUSE_VALUE

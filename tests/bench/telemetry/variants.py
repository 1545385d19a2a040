"""The same API and workers four times: silent, counted, ready to trace, tracing one in ten.

Before: ``cli`` has servers, and a collector that takes everything.
After: ``cli`` measures each variant in turn.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tests.bench.engine.systems import OURS, System
from tests.bench.telemetry.reporting import AT_TENTH, AT_ZERO, BARE, COUNTED

_HERE = "tests.bench.telemetry"
SILENT_GUNICORN = (
    *(sys.executable, "-m", "gunicorn"),
    *("-c", f"python:{_HERE}.silent_gunicorn", "orchestrator_api.asgi:app"),
)
SILENT_WORKER = ("-m", f"{_HERE}.silent_worker")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """How much the processes say of themselves."""

    name: str
    environment: Mapping[str, str]
    api_command: Sequence[str] | None = None
    """None: the usual one."""
    worker_command: Sequence[str] | None = None

    @property
    def system(self) -> System:
        """Return the worker as ``engine`` runs it."""
        commands = [self.worker_command] * len(OURS.commands) if self.worker_command else None
        return replace(OURS, environment=self.environment, commands=commands or OURS.commands)


_ALIKE = {"PYTHONHASHSEED": "0"}
"""Else one process has other collisions than the next."""


def build_variants(collector: str) -> tuple[Variant, ...]:
    """Return them in the order of ``reporting.VARIANTS``."""
    return (
        Variant(
            name=BARE,
            environment=_ALIKE,
            api_command=SILENT_GUNICORN,
            worker_command=SILENT_WORKER,
        ),
        Variant(name=COUNTED, environment=_ALIKE),
        Variant(name=AT_ZERO, environment=_tracing(collector, "0")),
        Variant(name=AT_TENTH, environment=_tracing(collector, "0.1")),
    )


def _tracing(collector: str, ratio: str) -> dict[str, str]:
    return {
        **_ALIKE,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        "OTEL_TRACES_SAMPLER_ARG": ratio,
    }

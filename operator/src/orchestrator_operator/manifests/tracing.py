"""Where API and workers send their spans: settings in OpenTelemetry's own words.

Before: ``spec.monitoring.tracing`` names a collector.
After: ``api`` and ``worker`` have these variables in their pods.
"""

from orchestrator_operator.manifests.context import Context

PERCENT = 100


def tracing_environment(context: Context) -> dict[str, str | int]:
    """Return the variables about traces; none if no collector is named."""
    tracing = context.spec.monitoring.tracing
    if tracing is None:
        return {}
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": tracing.endpoint,
        "OTEL_TRACES_SAMPLER_ARG": str(tracing.sampling_percent / PERCENT),
        # So that a collector for all can tell platforms apart.
        "OTEL_RESOURCE_ATTRIBUTES": (
            f"k8s.namespace.name={context.namespace},service.namespace={context.name}"
        ),
    }

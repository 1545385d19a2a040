"""API: how fast it answers whom, what it refuses, and what it does besides.

Before: ``selecting`` has the expressions.
After: ``dashboards`` lists it.
"""

from typing import Final

from hack.monitoring.dashboards.overview import NOT_SERVED
from hack.monitoring.panels import Dashboard, Level, Query, Row, Unit, lines, number
from hack.monitoring.selecting import REQUESTS, mean, of_pods, own, quantile, rate

DURATION: Final = "orchestrator_api_request_duration_seconds"
STREAMS: Final = 'route!~".*/events"'
"""A stream takes as long as somebody listens."""
DECISIONS: Final = "orchestrator_api_rate_limit_decisions_total"
REFUSED: Final = 'decision="refused"'
_CPU, _MEMORY = of_pods("api")

_REQUESTS = Row(
    "Requests",
    (
        lines(
            "By route",
            "Requests of each route's template; `unknown` is what is no route of ours.",
            Unit.REQUESTS_PER_SECOND,
            Query(rate("orchestrator_api_requests_total", REQUESTS, by="route"), "{{route}}"),
            is_stacked=True,
        ),
        lines(
            "By status",
            "429: over a limit. 499: the client hung up. 503: a store is away, or too much waits.",
            Unit.REQUESTS_PER_SECOND,
            Query(rate("orchestrator_api_requests_total", REQUESTS, by="status"), "{{status}}"),
            is_stacked=True,
        ),
        lines(
            "Failed by our fault",
            "Share of answers 500 and above.",
            Unit.SHARE,
            Query(NOT_SERVED, "5xx"),
        ),
        lines(
            "How long requests take",
            "Until the answer was sent completely; without streams, which last as long as"
            " somebody listens.",
            Unit.SECONDS,
            Query(quantile(0.5, DURATION, REQUESTS, STREAMS), "half"),
            Query(quantile(0.95, DURATION, REQUESTS, STREAMS), "95 %"),
            Query(quantile(0.99, DURATION, REQUESTS, STREAMS), "99 %"),
        ),
        lines(
            "95 % of each route take less than",
            "The slowest routes; uploads and downloads take as long as the client's line.",
            Unit.SECONDS,
            Query(quantile(0.95, DURATION, REQUESTS, STREAMS, by="route"), "{{route}}"),
        ),
        lines(
            "Followers of tasks",
            "Streams and long polls under way, of each replica.",
            Unit.NUMBER,
            Query(f"sum by (pod) ({own('orchestrator_api_event_watchers')})", "{{pod}}"),
            is_stacked=True,
        ),
    ),
)
_SUBMISSIONS = Row(
    "Submissions and doorbells",
    (
        lines(
            "Tasks accepted",
            "By type. A repeated Idempotency-Key makes none.",
            Unit.PER_SECOND,
            Query(rate("orchestrator_api_tasks_submitted_total", by="task_type"), "{{task_type}}"),
            is_stacked=True,
        ),
        lines(
            "Tasks kept with one statement",
            "Mean size of a batch: 1 at rest, more when many submit at once.",
            Unit.NUMBER,
            Query(mean("orchestrator_api_submission_batch_size"), "mean"),
        ),
        lines(
            "Rings",
            "Tasks that RabbitMQ was told of. fresh: just accepted. due: their time came, or their"
            " lease ended. missing, overtaken: messages were lost.",
            Unit.PER_SECOND,
            Query(rate("orchestrator_api_rings_total", by="reason"), "{{reason}}"),
            Query(rate("orchestrator_api_fresh_rings_left_total"), "left to a sweep"),
        ),
        lines(
            "Sweeps",
            "About one a second of each replica. store_away: Postgres or RabbitMQ did not answer.",
            Unit.PER_SECOND,
            Query(rate("orchestrator_api_sweeps_total", by="outcome"), "{{outcome}}"),
        ),
        lines(
            "Events read for followers",
            "Events that replicas read from Postgres for whoever follows tasks, and how often a"
            " stream fell behind and went back to the history.",
            Unit.PER_SECOND,
            Query(rate("orchestrator_api_events_read_total"), "read"),
            Query(rate("orchestrator_api_event_watchers_behind_total"), "fell behind"),
        ),
    ),
)
_LIMITS = Row(
    "Rate limits",
    (
        lines(
            "Decisions",
            "Requests let through and refused, by user and by address; memory: Redis was away.",
            Unit.PER_SECOND,
            Query(
                rate(DECISIONS, by="scope, decision, source"),
                "{{scope}} {{decision}} ({{source}})",
            ),
        ),
        number(
            "Replicas that limit by their own memory",
            "Redis is away for them: limits hold for each replica alone until it is back.",
            f"sum({own('orchestrator_api_rate_limit_degraded')})",
            Unit.NUMBER,
            Level("orange", 1),
            width=8,
        ),
        number(
            "Refused",
            "Share of decisions that refused, over the last five minutes.",
            f"sum(increase({own(DECISIONS, REFUSED)}[5m])) / sum(increase({own(DECISIONS)}[5m]))",
            Unit.SHARE,
            Level("orange", 0.1),
            width=8,
        ),
    ),
)
_PROCESSES = Row(
    "Processes",
    (
        lines(
            "Connections to Postgres",
            "Busy ones of each replica, and how many it may open. At the bound, requests wait for"
            " one, then answer 503.",
            Unit.NUMBER,
            Query(
                "sum by (pod) ("
                + own(
                    "orchestrator_postgres_connections",
                    'state="busy"',
                    'app_kubernetes_io_component="api"',
                )
                + ")",
                "{{pod}}",
            ),
            Query(
                "max("
                + own("orchestrator_postgres_connections_max", 'app_kubernetes_io_component="api"')
                + ")",
                "most of each",
                is_bound=True,
            ),
        ),
        lines("Processor", "Cores that each replica uses.", Unit.CORES, Query(_CPU, "{{pod}}")),
        lines("Memory", "Resident memory of each replica.", Unit.BYTES, Query(_MEMORY, "{{pod}}")),
    ),
)
API: Final = Dashboard(
    uid="orchestrator-api",
    title="Orchestrator / API",
    description="How fast it answers, what it refuses, and what it does besides.",
    rows=(_REQUESTS, _SUBMISSIONS, _LIMITS, _PROCESSES),
)

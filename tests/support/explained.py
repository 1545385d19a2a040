"""How Postgres would run a statement whatever its arguments: the plan that it keeps.

A connection that has run a statement a few times keeps one plan for all arguments.
That plan has to be good for the deepest backlog, so it is the one to look at.

Before: a test has a database with many rows and statistics of them.
After: it knows which tables the kept plan reads from end to end.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_COUNT_ARGUMENTS = "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = $1"


@dataclass(frozen=True, slots=True)
class Scan:
    """A step of a plan that reads a table."""

    how: str
    """As Postgres calls it, such as ``Index Scan``."""
    table: str
    index: str | None


async def explain(connection: Any, statement: str) -> list[Scan]:
    """Return how the kept plan of a statement reads tables.

    Args:
        connection: its setting for plans stays changed.
        statement: with ``$1`` and so on for its arguments.
    """
    await connection.execute("SET plan_cache_mode = force_generic_plan; SET jit = off")
    await connection.execute(f"PREPARE explained AS {statement}")
    try:
        count = await connection.fetchval(_COUNT_ARGUMENTS, "explained")
        nothing = f"({', '.join(['NULL'] * count)})" if count else ""
        text = await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE explained{nothing}")
    finally:
        await connection.execute("DEALLOCATE explained")
    return [scan for plan in json.loads(text) for scan in _find_scans(plan["Plan"])]


def _find_scans(node: Mapping[str, Any]) -> Iterator[Scan]:
    if "Relation Name" in node and node["Node Type"] != "ModifyTable":
        yield Scan(node["Node Type"], node["Relation Name"], node.get("Index Name"))
    for child in node.get("Plans", ()):
        yield from _find_scans(child)

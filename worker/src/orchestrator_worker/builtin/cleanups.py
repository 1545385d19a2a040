"""``cleanup_temp``: delete what its owner no longer needs, and say what went.

Before: the API validated the payload.
After: uploads and results are gone; the report is the task's own result.
"""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pydantic import ConfigDict, Field

from orchestrator_core.attempts import ResultFile
from orchestrator_core.handlers import HandlerGroup, Payload, TaskContext
from orchestrator_core.owners import CleanUp, ItemKind, Removal
from orchestrator_worker.builtin.results import to_json_result

LONGEST_HOURS = 24 * 3650
MAX_LISTED = 10_000
"""Of a report; the totals count all."""
TIMEOUT_SECONDS = 600


class CleanUpTemp(Payload):
    """Delete your uploads and results that have expired, and on request those that are old.

    The result is a JSON report of what went. Doing it again does no harm.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"older_than_hours": 72, "dry_run": True}, {}]}
    )

    kinds: tuple[ItemKind, ...] = Field(
        default=tuple(ItemKind),
        min_length=1,
        max_length=len(ItemKind),
        description="What may go: `upload`, `result` or both",
        examples=[["upload"]],
    )
    older_than_hours: float | None = Field(
        default=None,
        ge=0,
        le=LONGEST_HOURS,
        description="Also delete what has not expired but is older than this",
        examples=[72],
    )
    dry_run: bool = Field(default=False, description="Delete nothing, only report what would go")


@dataclass
class Tally:
    """What has gone so far; bounded, however much it is."""

    listed: list[Removal] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    size_bytes: int = 0

    def add(self, removal: Removal) -> None:
        """Count one thing, and list it while there is room."""
        self.counts[removal.kind] += 1
        self.size_bytes += removal.size_bytes
        if len(self.listed) < MAX_LISTED:
            self.listed.append(removal)

    def to_report(self, *, is_trial: bool) -> dict[str, Any]:
        """Return what the owner gets to read."""
        total = self.counts.total()
        return {
            "dry_run": is_trial,
            "removed": total,
            "freed_bytes": self.size_bytes,
            "uploads": self.counts[ItemKind.UPLOAD],
            "results": self.counts[ItemKind.RESULT],
            "items": [_to_item(each) for each in self.listed],
            "items_not_listed": total - len(self.listed),
        }


async def clean_up(payload: CleanUpTemp, context: TaskContext) -> ResultFile:
    """Delete page by page; what is gone stays gone if this is cut off."""
    hours = payload.older_than_hours
    what = CleanUp(
        kinds=frozenset(payload.kinds),
        older_than_seconds=None if hours is None else hours * 3600,
        is_trial=payload.dry_run,
    )
    tally = Tally()
    async for page in context.owner.clean_up(what):
        for removal in page.removals:
            tally.add(removal)
        context.report(page.fraction, f"{tally.counts.total()} removed")
    return to_json_result(tally.to_report(is_trial=payload.dry_run), file_name="cleanup.json")


def _to_item(removal: Removal) -> dict[str, Any]:
    return {
        "kind": removal.kind,
        "id": removal.id,
        "file_name": removal.file_name,
        "size_bytes": removal.size_bytes,
        "created_at": removal.created_at.isoformat(),
        "expires_at": removal.expires_at and removal.expires_at.isoformat(),
    }


def register(handlers: HandlerGroup) -> None:
    """Offer the original service's name."""
    handlers.register("cleanup_temp", payload=CleanUpTemp, timeout_seconds=TIMEOUT_SECONDS)(
        clean_up
    )

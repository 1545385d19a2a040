"""What is stale goes, and the report says what."""

import json
from collections.abc import AsyncGenerator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from pydantic import ValidationError

from orchestrator_core.attempts import ProgressReport
from orchestrator_core.handler_testing import Supplies, run_handler
from orchestrator_core.owners import CleanUp, CleanUpPage, ItemKind, OwnersData, Removal
from orchestrator_worker.builtin import cleanups, handlers
from orchestrator_worker.builtin.cleanups import CleanUpTemp

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def a_removal(number: int, kind: ItemKind = ItemKind.UPLOAD) -> Removal:
    return Removal(
        kind=kind,
        id=number,
        file_name=f"photo_{number}.jpg",
        size_bytes=1_000,
        created_at=NOW - timedelta(days=9),
        expires_at=NOW if kind is ItemKind.UPLOAD else None,
    )


class StaleThings:
    """An owner with some; each goes once."""

    def __init__(self, pages: list[list[Removal]]) -> None:
        self.pages = pages
        self.asked: list[CleanUp] = []

    async def clean_up(self, what: CleanUp) -> AsyncGenerator[CleanUpPage, None]:
        self.asked.append(what)
        pages = list(self.pages)
        if not what.is_trial:
            self.pages = []
        for number, removals in enumerate(pages, start=1):
            yield CleanUpPage(removals=removals, fraction=number / len(pages))


def report_of(
    owner: StaleThings, reports: list[ProgressReport] | None = None, **payload: object
) -> dict[str, Any]:
    supplies = Supplies(owners_data=cast("OwnersData", owner))
    result = run_handler(handlers, "cleanup_temp", payload, supplies=supplies, reports=reports)
    assert (result.content_type, result.file_name) == ("application/json", "cleanup.json")
    return cast("dict[str, Any]", json.loads(result.content))


def test_an_empty_payload_removes_what_has_expired_of_both_kinds() -> None:
    owner = StaleThings([[a_removal(1)], [a_removal(2, ItemKind.RESULT)]])
    reports: list[ProgressReport] = []

    report = report_of(owner, reports)

    assert owner.asked == [CleanUp()]
    assert (report["removed"], report["freed_bytes"]) == (2, 2_000)
    assert (report["uploads"], report["results"]) == (1, 1)
    assert report["items"][1] == {
        "kind": "result",
        "id": 2,
        "file_name": "photo_2.jpg",
        "size_bytes": 1_000,
        "created_at": "2026-04-22T00:00:00+00:00",
        "expires_at": None,
    }
    assert [each.fraction for each in reports] == [0.5, 1.0]


def test_doing_it_again_removes_nothing() -> None:
    owner = StaleThings([[a_removal(1)]])

    assert [report_of(owner)["removed"] for _ in range(2)] == [1, 0]


def test_a_dry_run_asks_for_a_trial_and_says_so() -> None:
    owner = StaleThings([[a_removal(1)]])

    reports = [report_of(owner, dry_run=True) for _ in range(2)]

    assert [(each["removed"], each["dry_run"]) for each in reports] == [(1, True), (1, True)]


def test_age_and_kinds_are_passed_on() -> None:
    owner = StaleThings([])

    report_of(owner, older_than_hours=1.5, kinds=["result"])

    assert owner.asked == [CleanUp(kinds=frozenset({ItemKind.RESULT}), older_than_seconds=5_400.0)]


def test_a_long_report_lists_no_more_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cleanups, "MAX_LISTED", 3)

    report = report_of(StaleThings([[a_removal(number) for number in range(5)]]))

    assert (len(report["items"]), report["items_not_listed"], report["removed"]) == (3, 2, 5)


@pytest.mark.parametrize(
    "payload",
    [{"kinds": []}, {"kinds": ["tasks"]}, {"older_than_hours": -1}, {"user_id": 2}],
)
def test_nothing_else_can_be_asked_for(payload: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        CleanUpTemp(**payload)

"""What nobody needs goes, whichever kind of it can't."""

from random import Random

import pytest
import structlog

from orchestrator_api.pruning import Pruning, in_pages
from orchestrator_core.errors import StoreUnavailableError


class SomeRows:
    """A kind of rows that nobody needs; may refuse to go."""

    def __init__(self, count: int = 0, error: Exception | None = None) -> None:
        self.left = count
        self.pages = 0
        self._error = error

    async def prune(self, *, limit: int) -> int:
        if self._error is not None:
            raise self._error
        self.pages += 1
        pruned = min(self.left, limit)
        self.left -= pruned
        return pruned


async def test_a_backlog_goes_page_by_page() -> None:
    rows = SomeRows(250)

    await in_pages(rows.prune, 100, 10)()

    assert (rows.left, rows.pages) == (0, 3)


async def test_one_pass_has_an_end_however_much_there_is() -> None:
    rows = SomeRows(10_000)

    await in_pages(rows.prune, 100, 10)()

    assert (rows.left, rows.pages) == (9_000, 10)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StoreUnavailableError("s3", "delete"), ("pruning skipped", "warning", "objects")),
        (ValueError("ours"), ("pruning failed", "error", "objects")),
    ],
)
async def test_what_can_not_be_pruned_is_told_and_keeps_nothing_else(
    error: Exception, told: tuple[str, str, str]
) -> None:
    stuck, others = SomeRows(error=error), SomeRows(3)
    steps = {"objects": in_pages(stuck.prune, 10, 1), "keys": in_pages(others.prune, 10, 1)}

    with structlog.testing.capture_logs() as lines:
        await Pruning(steps, chance=Random(1)).prune()

    assert others.left == 0
    assert [(line["event"], line["log_level"], line["what"]) for line in lines] == [told]

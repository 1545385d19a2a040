"""A report says what the database said, in a form that can be forwarded."""

from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from typing import Any

import pypdfium2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from activities import HOSTILE, MONTH, STOP, FixedOwner, a_month, a_record, an_empty_month
from orchestrator_core.attempts import ProgressReport, ResultFile
from orchestrator_core.handler_testing import Supplies, run_handler
from orchestrator_core.owners import Activity, DayCount
from orchestrator_core.tasks import TaskStatus
from orchestrator_worker.builtin import handlers
from orchestrator_worker.builtin.report_figures import (
    STATES,
    Day,
    axis_top,
    seconds_text,
    to_figures,
)
from orchestrator_worker.builtin.reports import GenerateReport, to_period

NOW = datetime(2026, 5, 31, 14, 5, tzinfo=UTC)


class Page(HTMLParser):
    """What a browser would show and do."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, list[str]] = {}
        self.rows: list[list[str]] = []
        self.texts: list[str] = []
        self._is_hidden = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._is_hidden = tag == "style"
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value or "")
        if tag == "tr":
            self.rows.append([])

    def handle_endtag(self, _: str) -> None:
        self._is_hidden = False

    def handle_data(self, data: str) -> None:
        if self._is_hidden:
            return
        self.texts.append(data)
        if self.tags[-1:] in (["td"], ["th"]) and data.strip():
            self.rows[-1].append(data)


def drawn(activity: Activity, **payload: object) -> ResultFile:
    return run_handler(
        handlers,
        "REPORT_GENERATE",
        payload,
        supplies=Supplies(owners_data=FixedOwner(activity)),
    )


def page_of(activity: Activity, **payload: object) -> Page:
    result = drawn(activity, format="html", **payload)
    assert (result.file_name, result.content_type) == ("report.html", "text/html; charset=utf-8")
    return Page(result.content.decode())


def text_of(result: ResultFile) -> str:
    """Return what a PDF viewer of others finds on the pages."""
    assert (result.file_name, result.content_type) == ("report.pdf", "application/pdf")
    document = pypdfium2.PdfDocument(result.content)
    try:
        return "\n".join(page.get_textpage().get_text_range() for page in document)
    finally:
        document.close()


@pytest.mark.parametrize("shown", ["pdf", "html"])
def test_the_numbers_are_those_of_the_activity(shown: str) -> None:
    result = drawn(a_month(), format=shown)
    text = text_of(result) if shown == "pdf" else "\n".join(Page(result.content.decode()).texts)

    for expected in (
        *("2026-05-01 to 2026-05-31 (UTC)", "1,300", "1,234", "66", "94.9%", "12.0 s"),
        *("IMAGE_RESIZE", "1,000", "12 ms", "1.2 s", "300 ms", "1 h 06 min"),
        *("IMAGE_RESIZE 7", "1 min 30 s, completed", "send_email 8", "REFUSED: "),
        "Read 2026-05-31 14:05 UTC",
    ):
        assert expected in text, expected


def test_tables_of_the_page_hold_the_rows_of_the_activity() -> None:
    rows = page_of(a_month()).rows

    assert ["IMAGE_RESIZE", "1,000", "0", "0", "0", "0", "1,000"] in rows
    assert ["send_email", "234", "66", "0", "0", "0", "300"] in rows


def test_the_chart_has_every_day_of_the_period_and_all_tasks() -> None:
    figures = to_figures(a_month(), title="x")

    assert [day.day for day in figures.days] == [
        date(2026, 5, 1) + timedelta(days=number) for number in range(31)
    ]
    assert sum(day.total for day in figures.days) == 1_300
    assert figures.days[0].total == 0
    assert figures.days[-1].tasks[:2] == [234, 66]


@pytest.mark.parametrize("shown", ["pdf", "html"])
def test_an_owner_without_tasks_gets_a_report_that_says_so(shown: str) -> None:
    result = drawn(an_empty_month(), format=shown)
    text = text_of(result) if shown == "pdf" else "\n".join(Page(result.content.decode()).texts)

    assert "No task was accepted in this period." in text


def test_an_empty_payload_covers_the_last_thirty_days() -> None:
    owner, reports = FixedOwner(a_month()), list[ProgressReport]()

    result = run_handler(
        handlers, "generate_report", {}, supplies=Supplies(owners_data=owner), reports=reports
    )

    [(period, listed)] = owner.asked
    assert (period.stop - period.start, listed) == (timedelta(days=30), 10)
    assert abs(period.stop - datetime.now(UTC)) < timedelta(minutes=1)
    assert result.content.startswith(b"%PDF-")
    assert [each.fraction for each in reports] == [0.3, 1.0]


def test_what_a_client_wrote_is_text_and_nothing_else() -> None:
    page = page_of(a_month(), title=HOSTILE.replace("\u202e", ""))

    assert not {"script", "b", "link", "img", "iframe", "object"} & set(page.tags)
    assert not {"src", "href", "onload", "onclick"} & set(page.attributes)
    assert any("<script>alert" in text for text in page.texts)
    assert "画像" in "".join(page.texts)


def test_letters_that_the_typeface_lacks_leave_a_mark_on_the_pages() -> None:
    text = text_of(drawn(a_month(), title="Bilder 画像 <i>x</i>"))

    assert "Bilder ?? <i>x</i>" in text


def test_a_long_reason_is_shortened() -> None:
    failed = [a_record(8, error_code="HANDLER_ERROR", error_message="long " * 400)]

    [incident] = to_figures(a_month(failed=failed), title="x").failed

    assert len(incident.what) < 200
    assert incident.what.endswith("…")


def test_a_full_report_goes_over_pages_with_its_headers() -> None:
    failed = [
        a_record(number, error_code="HANDLER_ERROR", error_message="reason " * 60)
        for number in range(40)
    ]
    result = drawn(a_month(failed=failed))

    document = pypdfium2.PdfDocument(result.content)
    sizes = {page.get_size() for page in document}
    texts = [page.get_textpage().get_text_range() for page in document]
    document.close()
    assert len(texts) > 1
    assert {(round(width), round(height)) for width, height in sizes} == {(595, 842)}, "A4"
    assert all(f"Page {number}" in text for number, text in enumerate(texts, start=1))
    assert "Reason" in texts[-1]


def test_the_same_figures_give_the_same_file() -> None:
    assert drawn(a_month()) == drawn(a_month())


@pytest.mark.parametrize(
    ("payload", "start", "stop"),
    [
        ({}, NOW - timedelta(days=30), NOW),
        ({"days": 7}, NOW - timedelta(days=7), NOW),
        (
            {"from_date": "2026-02-01", "to_date": "2026-02-28"},
            datetime(2026, 2, 1, tzinfo=UTC),
            datetime(2026, 3, 1, tzinfo=UTC),
        ),
        (
            {"from_date": "2026-05-30"},
            datetime(2026, 5, 30, tzinfo=UTC),
            datetime(2026, 6, 1, tzinfo=UTC),
        ),
        (
            {"from_date": "2020-01-01"},
            datetime(2020, 1, 1, tzinfo=UTC),
            datetime(2021, 1, 1, tzinfo=UTC),
        ),
    ],
)  # fmt: skip
def test_a_period_is_what_the_payload_says(
    payload: dict[str, Any], start: datetime, stop: datetime
) -> None:
    period = to_period(GenerateReport.model_validate(payload), now=NOW)

    assert (period.start, period.stop) == (start, stop)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        ({"days": 0}, "greater than or equal to 1"),
        ({"days": 367}, "less than or equal to 366"),
        ({"days": 7, "from_date": "2026-05-01"}, "not both"),
        ({"to_date": "2026-05-01"}, "needs from_date"),
        ({"from_date": "2026-05-02", "to_date": "2026-05-01"}, "is after to_date"),
        ({"from_date": "2020-01-01", "to_date": "2026-05-01"}, "more than 366 days"),
        ({"title": "two\nlines"}, "pattern"),
        ({"format": "docx"}, "pdf"),
    ],
)
def test_a_period_that_can_not_be_is_refused(payload: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        GenerateReport.model_validate(payload)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0004, "0 ms"),
        (0.012, "12 ms"),
        (1.25, "1.2 s"),
        (59.94, "59.9 s"),
        (60, "1 min 00 s"),
        (3599, "59 min 59 s"),
        (3960, "1 h 06 min"),
    ],
)
def test_times_are_written_for_people(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=5))
def test_no_bar_leaves_the_chart(heights: list[int]) -> None:
    days = [Day(day=STOP.date(), tasks=[height]) for height in heights]

    assert max(1, *heights) <= axis_top(days) <= max(1, *heights) * 2.5


@given(st.integers(1, 366), st.sampled_from(STATES), st.integers(0, 10**6))
def test_any_length_of_period_can_be_drawn(days: int, state: TaskStatus, tasks: int) -> None:
    period = type(MONTH)(start=STOP - timedelta(days=days), stop=STOP)
    by_day = [DayCount(day=STOP.date(), status=state, tasks=tasks)]
    page = page_of(a_month(period=period, by_day=by_day), days=days)

    assert "svg" in page.tags

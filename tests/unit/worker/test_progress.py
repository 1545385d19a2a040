"""What a handler reports is kept, ordered and never in anybody's way."""

import asyncio
import math
import socket
import threading
from collections.abc import Iterator

import pytest

from orchestrator_core.attempts import ProgressReport
from orchestrator_worker.progress import Progress, ReportPair, ReportSender

PATIENCE_SECONDS = 10.0


class Heard(Progress):
    """Also tells when it has heard something."""

    def __init__(self) -> None:
        super().__init__()
        self.reports: list[ProgressReport] = []
        self._is_heard = asyncio.Event()

    def take(self, report: ProgressReport) -> None:
        super().take(report)
        self.reports.append(report)
        self._is_heard.set()

    async def wait(self) -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._is_heard.wait()


@pytest.fixture
def pair() -> Iterator[ReportPair]:
    opened = ReportPair()
    yield opened
    opened.close()


def test_nothing_is_new_before_the_first_report_and_after_each_look() -> None:
    progress = Progress()

    before = progress.latest()
    progress.report(0.25, "reading")
    first = progress.latest()
    second = progress.latest()

    assert before is None
    assert first == ProgressReport(0.25, "reading")
    assert second is None


def test_only_the_latest_report_counts() -> None:
    progress = Progress()

    progress.report(0.1)
    progress.report(0.2, "halfway to there")

    assert progress.latest() == ProgressReport(0.2, "halfway to there")


def test_a_fraction_never_falls_while_its_message_goes_on() -> None:
    progress = Progress()

    progress.report(0.7, "writing")
    progress.report(0.3, "writing again")

    assert progress.latest() == ProgressReport(0.7, "writing again")


def test_the_same_report_again_is_no_news() -> None:
    progress = Progress()
    progress.report(0.5, "waiting")
    progress.latest()

    progress.report(0.5, "waiting")
    progress.report(0.4, "waiting")

    assert progress.latest() is None


@pytest.mark.parametrize(
    ("said", "kept"),
    [(-1, 0.0), (7, 1.0), (math.nan, 0.0), (math.inf, 1.0), (-math.inf, 0.0), ("half", 0.0)],
)
def test_what_is_no_fraction_becomes_one(said: object, kept: float) -> None:
    progress = Progress()

    progress.report(said)

    assert progress.latest() == ProgressReport(kept)


@pytest.mark.parametrize(
    ("said", "kept"),
    [("x" * 500, "x" * 200), ("a\0b", "ab"), ("half \ud800", "half ?"), (7, "7")],
)
def test_a_message_becomes_a_line_that_postgres_keeps(said: object, kept: str) -> None:
    progress = Progress()

    progress.report(0.5, said)

    assert progress.latest() == ProgressReport(0.5, kept)


def test_threads_may_report_at_once() -> None:
    progress = Progress()

    def count() -> None:
        for step in range(1001):
            progress.report(step / 1000)

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert progress.latest() == ProgressReport(1.0)


async def test_a_report_arrives_from_the_other_end(pair: ReportPair) -> None:
    progress = Heard()

    with pair.received(progress, number=1):
        ReportSender(pair.childs, number=1).send(ProgressReport(0.5, "größer"))
        await progress.wait()

    assert progress.latest() == ProgressReport(0.5, "größer")


async def test_the_last_words_of_an_attempt_are_not_taken_for_the_next_ones(
    pair: ReportPair,
) -> None:
    progress = Heard()

    ReportSender(pair.childs, number=1).send(ProgressReport(0.9, "late"))
    with pair.received(progress, number=2):
        ReportSender(pair.childs, number=2).send(ProgressReport(0.1, "first"))
        await progress.wait()

    assert progress.latest() == ProgressReport(0.1, "first")


def test_a_full_way_drops_reports_and_makes_nobody_wait(pair: ReportPair) -> None:
    sender = ReportSender(pair.childs, number=1)

    for step in range(1000):
        sender.send(ProgressReport(step / 1000))


def test_a_worker_that_is_gone_stops_no_handler() -> None:
    pair = ReportPair()
    childs = pair.childs.dup()
    pair.close()

    ReportSender(childs, number=1).send(ProgressReport(0.5))

    childs.close()


async def test_steps_that_nobody_sees_are_not_sent(pair: ReportPair) -> None:
    progress, sender = Heard(), ReportSender(pair.childs, number=1)

    for fraction in (0.5, 0.5001, 0.5009, 0.502, 0.9999, 1.0, 1.0):
        sender.send(ProgressReport(fraction))
    with pair.received(progress, number=1):
        await progress.wait()

    assert [each.fraction for each in progress.reports] == [0.5, 0.502, 0.9999, 1.0]


async def test_a_way_that_was_shut_down_is_not_read_for_ever(pair: ReportPair) -> None:
    with pair.received(Progress(), number=1):
        was_receiving = pair.is_receiving
        pair.childs.shutdown(socket.SHUT_RDWR)
        async with asyncio.timeout(PATIENCE_SECONDS):
            while pair.is_receiving:  # noqa: ASYNC110 - the kernel's answer sets no event
                await asyncio.sleep(0)

    assert was_receiving


async def test_garbage_is_ignored(pair: ReportPair) -> None:
    progress = Heard()

    with pair.received(progress, number=1):
        pair.childs.send(b"?")
        ReportSender(pair.childs, number=1).send(ProgressReport(0.5))
        await progress.wait()

    assert progress.latest() == ProgressReport(0.5)

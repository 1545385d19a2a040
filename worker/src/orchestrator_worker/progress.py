"""How far an attempt is: kept by the worker, reported by its handler.

An ``async`` handler reports to its ``Progress`` directly. A plain one is in a
child process, so its reports come through a socket pair of its lane: each is one
datagram, sent without waiting and dropped when the pair is full. A child that is
stopped, or killed in the middle, can so harm neither its worker nor the next
attempt in its lane.

Before: a handler calls ``TaskContext.report``.
After: ``leasing`` asks for what is new once a second and writes it to Postgres.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

from orchestrator_core.attempts import ProgressReport
from orchestrator_core.handlers import to_progress_report

_HEAD = struct.Struct("=Qd")
"""The attempt's number in its lane, and the fraction; the message follows as UTF-8."""

_MAX_DATAGRAM_BYTES = 1024
"""200 characters of at most 4 bytes, and the head."""

_DATAGRAMS_PER_TURN = 16
"""Of one lane, before the event loop turns to others. The kernel queues about 11."""

RESOLUTION = 0.001
"""Smaller steps are not sent: a handler may report each of a million items."""


class Progress:
    """The latest report of one attempt; never less than before. Any thread may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._latest: ProgressReport | None = None
        self._is_new = False

    def report(self, fraction: object, message: object = "") -> None:
        """Take whatever a handler says."""
        self.take(to_progress_report(fraction, message))

    def take(self, report: ProgressReport) -> None:
        """Take a report that is well formed; its message counts, its fraction if it is more."""
        with self._lock:
            if self._latest is not None and report.fraction < self._latest.fraction:
                report = ProgressReport(self._latest.fraction, report.message)
            if report != self._latest:
                self._latest, self._is_new = report, True

    def latest(self) -> ProgressReport | None:
        """Return what is new since the last call, if anything."""
        with self._lock:
            if not self._is_new:
                return None
            self._is_new = False
            return self._latest


class ReportPair:
    """The two ends of a lane's way for reports."""

    def __init__(self) -> None:
        self._own, self.childs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_receiving(self) -> bool:
        """Whether reports are read at the moment."""
        return self._loop is not None

    @contextlib.contextmanager
    def received(self, progress: Progress, *, number: int) -> Iterator[None]:
        """Hand the reports of attempt ``number`` to ``progress`` while the context is open."""
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._own, self._receive, progress, number)
        try:
            yield
        finally:
            self._stop_receiving()

    def close(self) -> None:
        """Close both ends."""
        self._stop_receiving()
        self._own.close()
        self.childs.close()

    def _receive(self, progress: Progress, number: int) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(_DATAGRAMS_PER_TURN):
                datagram = self._own.recv(_MAX_DATAGRAM_BYTES, socket.MSG_DONTWAIT)
                if not datagram:
                    # Shut down from the other side; it would be readable for ever.
                    self._stop_receiving()
                    return
                _take(datagram, progress, number)

    def _stop_receiving(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._own)
            self._loop = None


class ReportSender:
    """The child's side, for one attempt."""

    def __init__(self, end: socket.socket, *, number: int) -> None:
        self._end = end
        self._number = number
        self._sent: ProgressReport | None = None

    def send(self, report: ProgressReport) -> None:
        """Send what is worth it, without waiting."""
        if self._sent is not None and not _is_worth_sending(report, self._sent):
            return
        datagram = _HEAD.pack(self._number, report.fraction) + report.message.encode()
        # Full, or the worker is gone: the next report tells more anyway.
        with contextlib.suppress(OSError):
            self._end.send(datagram, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            self._sent = report


def _is_worth_sending(report: ProgressReport, sent: ProgressReport) -> bool:
    if report.message != sent.message:
        return True
    return report.fraction >= sent.fraction + RESOLUTION or sent.fraction < 1 <= report.fraction


def _take(datagram: bytes, progress: Progress, number: int) -> None:
    if len(datagram) < _HEAD.size:
        return
    sender, fraction = _HEAD.unpack_from(datagram)
    # A killed attempt's last words may come when the lane has the next one.
    if sender == number:
        progress.report(fraction, datagram[_HEAD.size :].decode("utf-8", "replace"))

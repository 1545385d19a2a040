"""A mail arrives as it was asked for, or the task says why not."""

import asyncio
import email
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd import smtp
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope, LoginPassword, Session
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from loopback import LOOPBACK, make_certificate, served, serving_context
from orchestrator_core.attempts import ProgressReport
from orchestrator_core.handler_testing import Supplies, run_handler, run_handler_async
from orchestrator_core.handlers import GiveUpError, RetryLaterError
from orchestrator_core.tasks import ErrorCode, TaskId
from orchestrator_worker.builtin import composing, handlers, mailing
from orchestrator_worker.builtin.composing import compose
from orchestrator_worker.builtin.emails import SendEmail
from orchestrator_worker.smtp_settings import SmtpSettings, smtp_settings
from services import free_port

SENDER = "Reports <reports@example.com>"
AT = datetime(2026, 5, 1, tzinfo=UTC)
SESSION_SECONDS = 30.0
"""None takes longer whose client is gone."""


class Mailbox:
    """What a real server was handed, with some receivers it does not know."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's names
        self, _server: smtp.SMTP, _session: Session, envelope: Envelope, address: str, _options: Any
    ) -> str:
        if address.startswith("nobody"):
            return "550 5.1.1 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802 - likewise
        self, _server: smtp.SMTP, _session: Session, envelope: Envelope
    ) -> str:
        self.envelopes.append(envelope)
        return "250 2.0.0 queued as 1"

    def mail(self) -> EmailMessage:
        # No property: the server looks at all of them before there is a mail.
        [envelope] = self.envelopes
        assert isinstance(envelope.content, bytes)
        parsed = email.message_from_bytes(envelope.content, policy=SMTP)
        assert isinstance(parsed, EmailMessage)
        return parsed


@contextmanager
def serving(mailbox: Mailbox, **options: Any) -> Iterator[int]:
    controller = Controller(
        mailbox, hostname=LOOPBACK, port=free_port(), ready_timeout=60.0, **options
    )
    controller.start()
    try:
        yield controller.port
        ended = asyncio.run_coroutine_threadsafe(_sessions_end(), controller.loop)
        ended.result(timeout=SESSION_SECONDS)
    finally:
        controller.stop()


async def _sessions_end() -> None:
    """Wait for what the server still does: its loop is closed after, over any open connection."""
    this = asyncio.current_task()
    while others := {task for task in asyncio.all_tasks() if task is not this}:
        await asyncio.wait(others)
    # A connection is closed in the turn after.
    await asyncio.sleep(0)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("HOST", "PORT", "SECURITY", "USERNAME", "PASSWORD", "FROM", "CA_FILE"):
        monkeypatch.delenv(f"SMTP_{name}", raising=False)
    smtp_settings.cache_clear()
    yield
    smtp_settings.cache_clear()


def configure(monkeypatch: pytest.MonkeyPatch, port: int, **settings: str) -> None:
    values = {"HOST": LOOPBACK, "PORT": str(port), "SECURITY": "none", "FROM": SENDER, **settings}
    for name, value in values.items():
        monkeypatch.setenv(f"SMTP_{name}", value)


def sent(
    payload: dict[str, Any],
    supplies: Supplies | None = None,
    reports: list[ProgressReport] | None = None,
) -> dict[str, Any]:
    result = run_handler(
        handlers, "send_email", payload, supplies=supplies or Supplies(), reports=reports
    )
    assert (result.content_type, result.file_name) == ("application/json", "email.json")
    report: dict[str, Any] = json.loads(result.content)
    return report


def test_a_whole_mail_arrives_as_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    picture = tmp_path / "Grüße aus Köln.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n pixels")
    mailbox, reports = Mailbox(), list[ProgressReport]()
    with serving(mailbox) as port:
        configure(monkeypatch, port)
        report = sent(
            {
                "to": ["ada@example.com", "bob@example.org"],
                "cc": ["cy@example.com"],
                "bcc": ["dee@example.com"],
                "reply_to": "desk@example.com",
                "subject": "Ihr Bericht über Köln ✓",
                "text": "Guten Tag,\n.\nbis bald.\n",
                "html": "<p>Guten Tag</p>",
                "attachments": [7],
            },
            Supplies(files={7: picture}),
            reports,
        )

    mail = mailbox.mail()
    assert mailbox.envelopes[0].mail_from == "reports@example.com"
    assert mailbox.envelopes[0].rcpt_tos == [
        "ada@example.com",
        "bob@example.org",
        "cy@example.com",
        "dee@example.com",
    ]
    assert mail["From"] == SENDER
    assert mail["To"] == "ada@example.com, bob@example.org"
    assert mail["Cc"] == "cy@example.com"
    assert mail["Bcc"] is None
    assert mail["Reply-To"] == "desk@example.com"
    assert mail["Subject"] == "Ihr Bericht über Köln ✓"
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().replace("\r\n", "\n") == "Guten Tag,\n.\nbis bald.\n"
    assert html.get_content().strip() == "<p>Guten Tag</p>"
    [attachment] = mail.iter_attachments()
    assert attachment.get_filename() == picture.name
    assert attachment.get_content_type() == "image/png"
    assert attachment.get_content() == picture.read_bytes()
    assert report["accepted"] == mailbox.envelopes[0].rcpt_tos
    assert report["refused"] == {}
    assert report["message_id"] == mail["Message-ID"]
    fractions = [each.fraction for each in reports]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0


def test_an_empty_payload_sends_a_sample_to_the_sender(monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox = Mailbox()
    with serving(mailbox) as port:
        configure(monkeypatch, port)
        report = sent({})

    assert report["accepted"] == ["reports@example.com"]
    assert mailbox.mail()["To"] == "reports@example.com"
    assert "send_email" in mailbox.mail().get_content()


def test_each_attempt_sends_the_same_message_id(monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox = Mailbox()
    with serving(mailbox) as port:
        configure(monkeypatch, port)
        for attempt in (1, 2):
            run_handler(handlers, "send_email", {}, attempt=attempt)

    ids = {
        email.message_from_bytes(each.content or b"")["Message-ID"]  # type: ignore[arg-type]
        for each in mailbox.envelopes
    }
    assert ids == {"<task-1.local@example.com>"}


def test_without_a_server_the_task_says_so_at_once() -> None:
    with pytest.raises(
        GiveUpError, match=r"no mail server is set up here.*spec\.worker\.smtp"
    ) as raised:
        sent({})

    assert raised.value.code is ErrorCode.NOT_CONFIGURED


def test_settings_that_can_not_be_right_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    configure(monkeypatch, 25, SECURITY="some")

    with pytest.raises(GiveUpError, match="SMTP_SECURITY") as raised:
        sent({})

    assert raised.value.code is ErrorCode.NOT_CONFIGURED


def test_a_receiver_that_is_refused_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mailbox = Mailbox()
    with serving(mailbox) as port:
        configure(monkeypatch, port)
        report = sent({"to": ["ada@example.com", "nobody@example.com"]})

    assert report["accepted"] == ["ada@example.com"]
    assert report["refused"] == {"nobody@example.com": "550 5.1.1 no such user"}


def test_when_every_receiver_is_refused_the_task_fails_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with serving(Mailbox()) as port:
        configure(monkeypatch, port)
        with pytest.raises(GiveUpError, match=r"550 5\.1\.1 no such user") as raised:
            sent({"to": ["nobody@example.com"]})

    assert raised.value.code is ErrorCode.REFUSED


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of the loopback and its key."""
    return make_certificate(tmp_path_factory.mktemp("tls"), f"IP:{LOOPBACK}")


def accept_secret(*arguments: Any) -> AuthResult:
    data = arguments[-1]
    is_known = isinstance(data, LoginPassword) and data.password == b"secret"
    return AuthResult(success=is_known, handled=False)


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
@pytest.mark.parametrize("security", ["starttls", "tls"])
def test_a_protected_connection_is_logged_in_over(
    monkeypatch: pytest.MonkeyPatch, certificate: tuple[Path, Path], security: str
) -> None:
    tls = serving_context(*certificate)
    is_upgraded = security == "starttls"
    options: dict[str, Any] = (
        {"tls_context": tls, "require_starttls": True} if is_upgraded else {"ssl_context": tls}
    )
    mailbox = Mailbox()
    with serving(
        mailbox,
        authenticator=accept_secret,
        auth_required=True,
        auth_require_tls=is_upgraded,
        **options,
    ) as port:
        login = {"USERNAME": "me", "PASSWORD": "secret", "SECURITY": security}
        configure(monkeypatch, port, CA_FILE=str(certificate[0]), **login)
        sent({})
        smtp_settings.cache_clear()
        monkeypatch.setenv("SMTP_PASSWORD", "guess")
        with pytest.raises(GiveUpError, match="refused the user name or password") as refused:
            sent({})
        smtp_settings.cache_clear()
        monkeypatch.delenv("SMTP_CA_FILE")
        with pytest.raises(GiveUpError, match="certificate is not valid") as untrusted:
            sent({})

    assert len(mailbox.envelopes) == 1
    assert refused.value.code is untrusted.value.code is ErrorCode.NOT_CONFIGURED
    assert "guess" not in str(refused.value)


def test_a_server_that_can_not_be_protected_gets_no_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    mailbox = Mailbox()
    with serving(mailbox) as port:
        configure(monkeypatch, port, SECURITY="starttls")
        with pytest.raises(GiveUpError, match="lacks what the settings ask"):
            sent({})

    assert mailbox.envelopes == []


@asynccontextmanager
async def scripted(replies: dict[str, str]) -> AsyncIterator[int]:
    """Serve SMTP badly: ``replies`` by the first word of a command; the rest is fine."""
    usual = {"": "220 mail", "EHLO": "250 mail", "DATA": "354 go on", ".": "250 OK", "QUIT": "221"}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        word, in_data = "", False
        while True:
            if not in_data or word == ".":
                reply = replies.get(word, usual.get(word, "250 OK"))
                if reply == "hang up":
                    return
                writer.write(reply.encode() + b"\r\n")
                in_data = word == "DATA" and reply.startswith("354")
            if not (line := await reader.readline()):
                return
            word = line.decode().strip().partition(" ")[0]
            word = word.upper() if not in_data or word == "." else "data"

    async with served(serve) as port:
        yield port


@pytest.mark.parametrize("step", ["", "MAIL", "RCPT", "DATA", "."])
@pytest.mark.parametrize(
    ("reply", "error"),
    [("451 4.3.0 try\x07 later", RetryLaterError), ("554 5.7.1 no", GiveUpError)],
)
async def test_a_refusal_at_any_step_is_final_or_not_as_the_server_says(
    monkeypatch: pytest.MonkeyPatch, step: str, reply: str, error: type[Exception]
) -> None:
    async with scripted({step: reply}) as port:
        configure(monkeypatch, port)
        with pytest.raises(error) as raised:
            await run_handler_async(handlers, "send_email", {"to": ["ada@example.com"]})

    if isinstance(raised.value, GiveUpError):
        assert raised.value.code is ErrorCode.REFUSED
        assert "554 5.7.1 no" in str(raised.value)
    else:
        assert "451 4.3.0 try later" in str(raised.value)


@pytest.mark.parametrize("step", ["", "EHLO", "MAIL", "DATA", "."])
async def test_a_server_that_hangs_up_is_tried_again(
    monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    async with scripted({step: "hang up"}) as port:
        configure(monkeypatch, port)
        with pytest.raises(RetryLaterError, match="did not answer or broke off"):
            await run_handler_async(handlers, "send_email", {})


async def test_a_server_that_is_away_is_tried_again_ever_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configure(monkeypatch, free_port())
    delays = []
    for attempt in (1, 2, 3):
        with pytest.raises(RetryLaterError) as raised:
            await run_handler_async(handlers, "send_email", {}, attempt=attempt)
        delays.append(raised.value.delay_seconds)

    assert delays == [30.0, 60.0, 90.0]


async def test_a_server_that_says_nothing_is_waited_for_no_longer_than_promised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(mailing, "STEP_SECONDS", 0.05)

    async def hang(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await asyncio.Event().wait()

    async with served(hang) as port:
        configure(monkeypatch, port)
        with pytest.raises(RetryLaterError, match="did not answer"):
            await run_handler_async(handlers, "send_email", {})


def test_attachments_are_bounded_together(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(composing, "MAX_ATTACHED_BYTES", 10)
    configure(monkeypatch, free_port())
    half = tmp_path / "half"
    half.write_bytes(bytes(6))

    with pytest.raises(GiveUpError, match="attachments take more than") as raised:
        sent({"attachments": [1, 2]}, Supplies(files={1: half, 2: half}))

    assert raised.value.code is ErrorCode.INVALID_INPUT


@pytest.mark.parametrize(
    "field",
    [
        {"to": ["ada@example.com\r\nBcc: eve@example.com"]},
        {"to": ["ada@example.com, eve@example.com"]},
        {"to": ["Ada <ada@example.com>"]},
        {"to": ["ada@example.com\n"]},
        {"to": ["ada"]},
        {"to": ["ada@@example.com"]},
        {"to": ["ada@exa mple.com"]},
        {"to": ["ada@-example.com"]},
        {"to": ["a" * 250 + "@example.com"]},
        {"cc": ["<ada@example.com>"]},
        {"bcc": ["ada@exämple.com"]},
        {"reply_to": "ada@example.com\r\nX: y"},
        {"subject": "Hello\r\nBcc: eve@example.com"},
        {"subject": "Hello\nBcc: eve@example.com"},
        {"subject": "Hello\x00"},
        {"from": "eve@example.com"},
        {"to": [f"user{n}@example.com" for n in range(26)],
         "cc": [f"user{n}@example.org" for n in range(26)]},
        {"attachments": [0]},
        {"attachments": list(range(1, 12))},
    ],
)  # fmt: skip
def test_what_could_be_more_than_it_says_is_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        SendEmail.model_validate_json(json.dumps(field))


HEADERS = {
    "From",
    "To",
    "Subject",
    "Date",
    "Message-ID",
    "Auto-Submitted",
    "Content-Type",
    "Content-Transfer-Encoding",
    "MIME-Version",
}


@given(subject=st.text(max_size=60), text=st.text(max_size=100), to=st.text(max_size=30))
def test_whatever_is_written_is_refused_or_stays_where_it_belongs(
    subject: str, text: str, to: str
) -> None:
    try:
        payload = SendEmail(to=(to,), subject=subject, text=text)
    except ValidationError:
        payload = SendEmail(to=("ada@example.com",), text=text)
    settings = SmtpSettings(SMTP_FROM=SENDER)
    mail = compose(payload, [], settings, task_id=TaskId(1), at=AT)
    parsed = email.message_from_bytes(mail.as_bytes(policy=SMTP), policy=SMTP)

    assert set(parsed.keys()) <= HEADERS
    assert len(parsed.keys()) == len(set(parsed.keys()))
    assert [each.addr_spec for each in parsed["To"].addresses] == list(payload.to)
    assert parsed["From"].addresses[0].addr_spec == "reports@example.com"

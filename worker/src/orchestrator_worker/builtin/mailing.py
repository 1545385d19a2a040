"""Send a mail through the configured server.

Postgres and a mail server can't commit together: a worker that dies between the
server's acceptance and the settlement sends again. Both mails have the same
Message-ID, by which receivers and people know them as one.

Before: ``emails`` has a validated payload, its attachments in the attempt's folder.
After: the server has the mail; the report says who was accepted.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP

import aiosmtplib

from orchestrator_core.attempts import ResultFile
from orchestrator_core.errors import SettingsError
from orchestrator_core.handlers import GiveUpError, RetryLaterError, TaskContext
from orchestrator_core.tasks import ErrorCode
from orchestrator_core.tls import verifying_context
from orchestrator_worker.builtin.composing import compose, recipients_of
from orchestrator_worker.builtin.emails import SendEmail
from orchestrator_worker.builtin.results import to_json_result
from orchestrator_worker.smtp_settings import Security, SmtpSettings, smtp_settings

STEP_SECONDS = 30.0
"""Of each command and its answer."""
SEND_SECONDS = 150.0
"""Of all of it: below the type's own limit, so that the reason can be told."""
RETRY_SECONDS = 30.0
PERMANENT = 500
"""From this reply code on, the same mail is refused again."""
MAX_REPLY_LENGTH = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What the server said."""

    accepted: tuple[str, ...]
    refused: Mapping[str, str]
    """Receivers to the server's reasons; the others got the mail."""
    reply: str


async def send(payload: SendEmail, context: TaskContext) -> ResultFile:
    """Compose the mail, send it, and report.

    Raises:
        GiveUpError: there is no server, or it refused for good.
        RetryLaterError: the server is away or busy.
    """
    settings = _configured()
    recipients = recipients_of(payload, settings)
    context.report(0.1, "composing")
    mail = await asyncio.to_thread(
        compose,
        payload,
        list(context.inputs.values()),
        settings,
        task_id=context.task_id,
        at=datetime.now(UTC),
    )
    content = await asyncio.to_thread(mail.as_bytes, policy=SMTP)
    context.report(0.3, f"sending {len(content)} bytes to {len(recipients)} receivers")
    delivery = await deliver(content, recipients, settings, attempt=context.attempt)
    context.report(1.0, f"accepted for {len(delivery.accepted)} of {len(recipients)}")
    return _build_report(mail, delivery, size_bytes=len(content))


async def deliver(
    content: bytes, recipients: tuple[str, ...], settings: SmtpSettings, *, attempt: int
) -> Delivery:
    """Hand a mail to the server.

    Raises:
        GiveUpError: it was refused for good, or the settings don't fit the server.
        RetryLaterError: the server is away or busy.
    """
    try:
        async with asyncio.timeout(SEND_SECONDS):
            return await _converse(content, recipients, settings)
    except aiosmtplib.SMTPRecipientsRefused as error:
        replies = [(each.code, each.message) for each in error.recipients]
        code, text = min(replies, default=(0, ""))
        raise _judge(code, "every receiver was refused", text, attempt=attempt) from error
    except aiosmtplib.SMTPAuthenticationError as error:
        raise _judge(
            error.code,
            "the mail server refused the user name or password",
            error.message,
            attempt=attempt,
            code=ErrorCode.NOT_CONFIGURED,
        ) from error
    except aiosmtplib.SMTPResponseException as error:
        raise _judge(
            error.code, "the mail server refused", error.message, attempt=attempt
        ) from error
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        if _is_lacking(error):
            raise GiveUpError(
                f"the mail server lacks what the settings ask of it: {_clean(str(error))}",
                code=ErrorCode.NOT_CONFIGURED,
            ) from error
        if _is_untrusted(error):
            raise GiveUpError(
                "the mail server's certificate is not valid for it: set the right host, or its"
                " authority as SMTP_CA_FILE",
                code=ErrorCode.NOT_CONFIGURED,
            ) from error
        raise _later("the mail server did not answer or broke off", attempt=attempt) from error


async def _converse(
    content: bytes, recipients: tuple[str, ...], settings: SmtpSettings
) -> Delivery:
    server = aiosmtplib.SMTP(
        hostname=settings.host,
        port=settings.port,
        timeout=STEP_SECONDS,
        use_tls=settings.security is Security.TLS,
        start_tls=settings.security is Security.STARTTLS,
        tls_context=_trust(settings),
        local_hostname="localhost",
    )
    async with server:
        if settings.username is not None and settings.password is not None:
            await server.login(settings.username, settings.password.get_secret_value())
        errors, reply = await server.sendmail(settings.address.addr_spec, recipients, content)
    return Delivery(
        accepted=tuple(each for each in recipients if each not in errors),
        refused={who: f"{said.code} {_clean(said.message)}" for who, said in errors.items()},
        reply=_clean(reply),
    )


def _configured() -> SmtpSettings:
    try:
        settings = smtp_settings()
    except SettingsError as error:
        raise GiveUpError(
            f"mail is set up wrongly here: {error}", code=ErrorCode.NOT_CONFIGURED
        ) from error
    if settings.host is None:
        raise GiveUpError(
            "no mail server is set up here: whoever runs this service can name one in"
            " spec.worker.smtp, or as SMTP_HOST",
            code=ErrorCode.NOT_CONFIGURED,
        )
    return settings


def _trust(settings: SmtpSettings) -> ssl.SSLContext | None:
    if settings.security is Security.NONE:
        return None
    try:
        return verifying_context(settings.ca_file)
    except SettingsError as error:
        raise GiveUpError(
            "mail is set up wrongly here: SMTP_CA_FILE can't be read as certificates",
            code=ErrorCode.NOT_CONFIGURED,
        ) from error


def _judge(
    reply_code: int,
    what: str,
    reply: str,
    *,
    attempt: int,
    code: ErrorCode = ErrorCode.REFUSED,
) -> GiveUpError | RetryLaterError:
    """Tell what is refused for good from what may be taken later, by the reply's class."""
    sentence = f"{what}: {reply_code} {_clean(reply)}"
    if reply_code >= PERMANENT:
        return GiveUpError(sentence, code=code)
    return _later(sentence, attempt=attempt)


def _later(sentence: str, *, attempt: int) -> RetryLaterError:
    return RetryLaterError(sentence, delay_seconds=RETRY_SECONDS * attempt)


def _is_lacking(error: Exception) -> bool:
    # The client says so with the bare class, for STARTTLS and for AUTH; all else has its own.
    return type(error) in (aiosmtplib.SMTPException, aiosmtplib.SMTPNotSupported)


def _is_untrusted(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return True
        error = error.__cause__ or error.__context__
    return False


def _clean(reply: str) -> str:
    """Return a server's words as one bounded line."""
    line = " ".join(reply.split())
    return "".join(each for each in line if each.isprintable())[:MAX_REPLY_LENGTH]


def _build_report(mail: EmailMessage, delivery: Delivery, *, size_bytes: int) -> ResultFile:
    facts = {
        "message_id": str(mail["Message-ID"]),
        "subject": str(mail["Subject"]),
        "accepted": delivery.accepted,
        "refused": delivery.refused,
        "server_reply": delivery.reply,
        "size_bytes": size_bytes,
    }
    return to_json_result(facts, file_name="email.json")

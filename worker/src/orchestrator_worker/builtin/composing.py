"""Make a mail of a payload: pure, the same bytes in each attempt but for the date.

No text of a client reaches a header but through ``email``'s own policy, which refuses
line breaks and encodes the rest.

Before: ``mailing`` has a payload and its attachments.
After: it sends the ``EmailMessage``.
"""

import re
from collections.abc import Iterable
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from orchestrator_core.files import InputFile
from orchestrator_core.handlers import GiveUpError
from orchestrator_core.tasks import ErrorCode, TaskId
from orchestrator_worker.builtin.emails import SendEmail
from orchestrator_worker.smtp_settings import SmtpSettings

MAX_ATTACHED_BYTES = 20 * 1000 * 1000
"""Base64 makes a third more of it; most servers take 25 to 35 MB."""

SAMPLE = """Hello,

this is what a mail of the task type send_email looks like.
It was sent because a task named neither a text nor a receiver.
"""
_MEDIA_TYPE = re.compile(r"([a-z0-9!#$&^_.+-]+)/([a-z0-9!#$&^_.+-]+)")


def compose(
    payload: SendEmail,
    attachments: Iterable[InputFile],
    settings: SmtpSettings,
    *,
    task_id: TaskId,
    at: datetime,
) -> EmailMessage:
    """Return the mail.

    Args:
        payload: what the client asked for.
        attachments: its files, brought here.
        settings: name the sender.
        task_id: makes the Message-ID, which is the same for each attempt.
        at: the mail's date.

    Raises:
        GiveUpError: the attachments are too large.
    """
    mail = EmailMessage(policy=SMTP)
    mail["From"] = settings.address
    mail["To"] = _addresses(payload.to or (() if payload.recipients else _sender(settings)))
    if payload.cc:
        mail["Cc"] = _addresses(payload.cc)
    if payload.reply_to:
        mail["Reply-To"] = _addresses((payload.reply_to,))
    mail["Subject"] = payload.subject
    mail["Date"] = format_datetime(at)
    mail["Message-ID"] = message_id(settings, task_id)
    # Asks vacation programs and the like not to answer a machine.
    mail["Auto-Submitted"] = "auto-generated"
    _write_body(mail, payload)
    _attach(mail, attachments)
    return mail


def message_id(settings: SmtpSettings, task_id: TaskId) -> str:
    """Return the Message-ID that every attempt of a task has, and no other mail."""
    return f"<task-{task_id}.{settings.installation}@{settings.address.domain}>"


def recipients_of(payload: SendEmail, settings: SmtpSettings) -> tuple[str, ...]:
    """Return who gets the mail."""
    return payload.recipients or _sender(settings)


def _sender(settings: SmtpSettings) -> tuple[str, ...]:
    return (settings.address.addr_spec,)


def _addresses(specs: Iterable[str]) -> tuple[Address, ...]:
    return tuple(Address(addr_spec=spec) for spec in specs)


def _write_body(mail: EmailMessage, payload: SendEmail) -> None:
    if payload.html is None:
        mail.set_content(SAMPLE if payload.text is None else payload.text)
    elif payload.text is None:
        mail.set_content(payload.html, subtype="html")
    else:
        mail.set_content(payload.text)
        mail.add_alternative(payload.html, subtype="html")


def _attach(mail: EmailMessage, attachments: Iterable[InputFile]) -> None:
    total_bytes = 0
    for file in attachments:
        total_bytes += file.size_bytes
        if total_bytes > MAX_ATTACHED_BYTES:
            raise GiveUpError(
                f"the attachments take more than {MAX_ATTACHED_BYTES // 1_000_000} MB together",
                code=ErrorCode.INVALID_INPUT,
            )
        main, sub = _media_type(file.content_type)
        mail.add_attachment(
            file.path.read_bytes(), maintype=main, subtype=sub, filename=file.file_name
        )


def _media_type(text: str) -> tuple[str, str]:
    """Return both halves; what is no single file becomes plain bytes."""
    found = _MEDIA_TYPE.match(text.lower())
    if found is None or found[1] in ("multipart", "message"):
        return "application", "octet-stream"
    return found[1], found[2]

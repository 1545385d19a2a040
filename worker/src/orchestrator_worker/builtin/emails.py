"""``send_email``: what a client may ask for.

Before: the API validated the payload against this model's JSON Schema.
After: ``mailing`` composes the mail and hands it to the configured server.
"""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from orchestrator_core.attempts import ResultFile
from orchestrator_core.files import FileId, Link, Upload
from orchestrator_core.handlers import HandlerGroup, Payload, TaskContext
from orchestrator_worker.builtin.sources import MAX_ID

MAX_RECIPIENTS = 50
MAX_ATTACHMENTS = 10
MAX_ADDRESS_LENGTH = 254
TIMEOUT_SECONDS = 180

EmailAddress = Annotated[
    str,
    StringConstraints(
        max_length=MAX_ADDRESS_LENGTH,
        # The part of RFC 5321 that is in use: no quotes, comments, names or lists, ASCII only.
        pattern=(
            r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
            r"@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
            r"(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$"
        ),
    ),
]
"""One address and nothing else; domains with other letters in their ASCII form (``xn--…``)."""

Subject = Annotated[str, StringConstraints(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class SendEmail(Payload):
    """Send a mail through the configured server. With no field at all: a sample to its sender.

    All attempts of a task send a mail of the same Message-ID, so that a repeated one is known
    as such. The result lists who was accepted and who was refused.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "to": ["ada@example.com"],
                    "subject": "Your report",
                    "text": "It is attached.\n",
                    "attachments": [7],
                },
                {},
            ]
        }
    )

    to: tuple[EmailAddress, ...] = Field(
        default=(),
        max_length=MAX_RECIPIENTS,
        description="Whom it is for; the sender itself if there is nobody at all",
        examples=[["ada@example.com"]],
    )
    cc: tuple[EmailAddress, ...] = Field(
        default=(), max_length=MAX_RECIPIENTS, description="Who gets a copy"
    )
    bcc: tuple[EmailAddress, ...] = Field(
        default=(), max_length=MAX_RECIPIENTS, description="Who gets a copy without being named"
    )
    reply_to: EmailAddress | None = Field(default=None, description="Where answers go")
    subject: Subject = Field(
        default="A mail from the Orchestrator", description="One line", examples=["Your report"]
    )
    text: str | None = Field(
        default=None,
        max_length=200_000,
        description="The mail as plain text; a sample if there is neither text nor html",
        examples=["It is attached.\n"],
    )
    html: str | None = Field(
        default=None, max_length=500_000, description="The mail as HTML, beside text or alone"
    )
    attachments: tuple[Annotated[int, Field(ge=1, le=MAX_ID)], ...] = Field(
        default=(),
        max_length=MAX_ATTACHMENTS,
        description="Ids of files that you uploaded; 20 MB together",
        examples=[[7]],
    )

    @property
    def recipients(self) -> tuple[str, ...]:
        """Return everybody who gets it, each once."""
        return tuple(dict.fromkeys((*self.to, *self.cc, *self.bcc)))

    @model_validator(mode="after")
    def _bound_recipients(self) -> Self:
        if len(self.recipients) > MAX_RECIPIENTS:
            raise ValueError(f"to, cc and bcc have more than {MAX_RECIPIENTS} addresses together")
        return self


def name_attachments(payload: SendEmail) -> Mapping[str, Upload | Link]:
    """Return what the worker is to bring."""
    return {
        f"attachment {number}": Upload(FileId(file_id))
        for number, file_id in enumerate(payload.attachments)
    }


async def send_email(payload: SendEmail, context: TaskContext) -> ResultFile:
    """Send the mail and report who was accepted."""
    from orchestrator_worker.builtin import mailing  # noqa: PLC0415 - only where mail is sent

    return await mailing.send(payload, context)


def register(handlers: HandlerGroup) -> None:
    """Offer the original service's name."""
    handlers.register(
        "send_email",
        payload=SendEmail,
        timeout_seconds=TIMEOUT_SECONDS,
        inputs=name_attachments,
    )(send_email)

"""The JSON of the account endpoints.

Before: clients made for the original service.
After: ``endpoints`` passes the fields to the service.
"""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from orchestrator_core.accounts import Profile

MAX_PASSWORD_LENGTH = 1_024
USERNAME_PATTERN = r"^[A-Za-z0-9._-]{3,64}$"
REGISTERED = "User registered successfully"


class Registration(BaseModel):
    """A wish for an account."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [{"username": "johndoe", "password": "securepass123"}]},
    )

    username: Annotated[
        str,
        Field(
            pattern=USERNAME_PATTERN,
            description="3 to 64 of letters, digits, dot, underscore, hyphen; case does not count",
        ),
    ]
    password: Annotated[str, Field(max_length=MAX_PASSWORD_LENGTH, repr=False)]


class Credentials(BaseModel):
    """A name and a password to log in with; any text is worth a try."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={"examples": [{"username": "johndoe", "password": "securepass123"}]},
    )

    username: Annotated[str, Field(max_length=1_024)]
    password: Annotated[str, Field(max_length=MAX_PASSWORD_LENGTH, repr=False)]


class RefreshRequest(BaseModel):
    """A refresh token to redeem."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    refresh_token: Annotated[str, Field(max_length=1_024, repr=False, examples=["kT1xq0o2R4hU..."])]


class PasswordChange(BaseModel):
    """A wish for another password; it ends all logins of the user but the new one."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"current_password": "securepass123", "new_password": "a river of green glass"}
            ]
        },
    )

    current_password: Annotated[str, Field(max_length=MAX_PASSWORD_LENGTH, repr=False)]
    new_password: Annotated[str, Field(max_length=MAX_PASSWORD_LENGTH, repr=False)]


class Registered(BaseModel):
    """A new account."""

    user_id: Annotated[int, Field(examples=[1])]
    message: Annotated[str, Field(examples=[REGISTERED])] = REGISTERED


class TokenPair(BaseModel):
    """Tokens of one login."""

    access_token: Annotated[str, Field(examples=["eyJhbGciOiJIUzI1NiIs..."], repr=False)]
    refresh_token: Annotated[str, Field(examples=["kT1xq0o2R4hU..."], repr=False)]
    expires_in: Annotated[int, Field(examples=[900], description="seconds")]


class UserView(BaseModel):
    """The caller."""

    id: Annotated[int, Field(examples=[1])]
    username: Annotated[str, Field(examples=["johndoe"])]
    created_at: datetime

    @classmethod
    def from_profile(cls, profile: Profile) -> "UserView":
        """Show ``profile``."""
        return cls(id=profile.id, username=profile.username, created_at=profile.created_at)

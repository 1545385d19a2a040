"""Which limit holds for whom, as the settings say.

Before: ``settings`` reads ``ORCHESTRATOR_API_RATE_LIMITS``, one JSON object.
After: ``requests`` looks up the policy of each request; nothing is computed by then.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orchestrator_core.rate_limits import RateLimit

USER = "user"
ADDRESS = "address"
_SECONDS_PER_MINUTE = 60


class Preset(StrEnum):
    """Limits that have a name."""

    STRICT = "Strict"
    CONSERVATIVE = "Conservative"
    MODERATE = "Moderate"
    GENEROUS = "Generous"


PRESETS: Mapping[Preset, RateLimit] = MappingProxyType(
    {
        Preset.STRICT: RateLimit(capacity=3, refill_per_second=0.1),
        Preset.CONSERVATIVE: RateLimit(capacity=10, refill_per_second=5),
        Preset.MODERATE: RateLimit(capacity=20, refill_per_second=10),
        Preset.GENEROUS: RateLimit(capacity=100, refill_per_second=50),
    }
)


class _Rule(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LimitRule(_Rule):
    """A limit as somebody writes it: a preset, or numbers of his own."""

    preset: Preset | None = None
    capacity: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    refill_per_minute: Annotated[float, Field(gt=0, le=60_000_000)] | None = None
    """At most one token a microsecond, the resolution of Redis's clock."""

    @model_validator(mode="after")
    def _is_one_of_both(self) -> Self:
        numbers = (self.capacity, self.refill_per_minute)
        is_complete = numbers == (None, None) if self.preset else None not in numbers
        if not is_complete:
            raise ValueError("give either preset, or both capacity and refill_per_minute")
        return self

    def to_rate_limit(self) -> RateLimit:
        """Return what the rule means."""
        if self.capacity is None or self.refill_per_minute is None:
            return PRESETS[self.preset or Preset.MODERATE]
        return RateLimit(self.capacity, self.refill_per_minute / _SECONDS_PER_MINUTE)


class LimitRules(_Rule):
    """All limits as somebody writes them."""

    users: LimitRule = LimitRule(preset=Preset.MODERATE)
    """Of each user on ``/api/v1``."""
    auth: LimitRule = LimitRule(preset=Preset.MODERATE)
    """Of each client address on ``/auth``."""
    by_username: Mapping[str, LimitRule] = Field(default_factory=dict)
    """Of single users instead of ``users``; names are compared without case."""


@dataclass(frozen=True, slots=True)
class Policy:
    """One limit and how answers speak of it."""

    scope: str
    """Names the policy to clients and in metrics."""
    limit: RateLimit
    header: tuple[bytes, bytes] = field(init=False)
    """``RateLimit-Policy`` of draft-ietf-httpapi-ratelimit-headers-09, as it goes over the wire."""
    template: bytes = field(init=False)
    """The value of ``RateLimit``, with room for what remains and the seconds until it is full."""

    def __post_init__(self) -> None:
        window_seconds = math.ceil(self.limit.capacity / self.limit.refill_per_second)
        text = f'"{self.scope}";q={self.limit.capacity};w={window_seconds}'
        object.__setattr__(self, "header", (b"ratelimit-policy", text.encode()))
        object.__setattr__(self, "template", f'"{self.scope}";r=%d;t=%d'.encode())


class Policies:
    """The policies of a process."""

    def __init__(self, rules: LimitRules) -> None:
        self.of_addresses = Policy(ADDRESS, rules.auth.to_rate_limit())
        self._of_users = Policy(USER, rules.users.to_rate_limit())
        self._by_username = {
            name.lower(): Policy(USER, rule.to_rate_limit())
            for name, rule in rules.by_username.items()
        }

    def find_for_user(self, username: str) -> Policy:
        """Return the policy of the user with this name, in lower case."""
        return self._by_username.get(username, self._of_users)

"""What the API allows those who call it: how many requests, how large files.

The presets' numbers are the API's own; here they have names, so that a resource
says the same whatever a later version of the API counts.

Before: users write ``spec.api.rateLimit`` and ``spec.api.files``.
After: ``manifests.api`` turns both into the API's settings, and ``manifests.edge`` takes files of
that size.
"""

from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from orchestrator_operator.outside import S3Spec
from orchestrator_operator.quantities import Duration, Size, to_number
from orchestrator_operator.rules import Part, Rule, duration_between, size_between

MOST_USERS = 100
Username = Annotated[str, StringConstraints(pattern=r"^[a-z0-9._-]+$", min_length=3, max_length=64)]
"""Lower-case, as the API compares names without case: so nobody stands in the list twice."""


class RateLimitPreset(StrEnum):
    """Limits that have a name: requests at once, and then so many each second."""

    STRICT = "Strict"
    CONSERVATIVE = "Conservative"
    MODERATE = "Moderate"
    GENEROUS = "Generous"


class RateLimit(Part):
    """A token bucket: a preset, or numbers of one's own; the preset Moderate without either.

    The preset has no default that the API server would store: it would be there still when
    somebody applies numbers, and the rule would refuse both together.
    """

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="!has(self.preset) || (!has(self.capacity) && !has(self.refillPerMinute))",
            message="preset can't stand beside capacity and refillPerMinute: choose one way",
            field="preset",
            holds=lambda limit: (
                limit.preset is None or (limit.capacity is None and limit.refill_per_minute is None)
            ),
        ),
        Rule(
            cel="has(self.capacity) == has(self.refillPerMinute)",
            message="capacity and refillPerMinute must be given together",
            holds=lambda limit: (limit.capacity is None) == (limit.refill_per_minute is None),
        ),
    )

    preset: RateLimitPreset | None = None
    """Strict: 3 requests at once, then one each 10 s. Conservative: 10, then 5 each second.
    Moderate: 20, then 10 each second. Generous: 100, then 50 each second. Left out, and without
    numbers, it is Moderate."""
    capacity: int | None = Field(default=None, ge=1, le=1_000_000)
    """Requests at once, when there were none for a while; needs refillPerMinute."""
    refill_per_minute: int | None = Field(default=None, ge=1, le=60_000_000)
    """Requests a minute in the long run; needs capacity."""

    @property
    def is_given(self) -> bool:
        """Whether it says anything."""
        return self.preset is not None or self.capacity is not None


class RateLimitOfUser(RateLimit):
    """A limit for one user instead of the one for all."""

    rules = (
        *RateLimit.rules,
        Rule(
            cel="has(self.preset) || has(self.capacity)",
            message="a user's own limit needs preset, or capacity and refillPerMinute",
            holds=lambda limit: limit.is_given,
        ),
    )

    username: Username
    """Whose limit it is, in lower case."""


class RateLimitSpec(RateLimit):
    """Limits of requests: of each user on /api/v1, and of each address on /auth."""

    auth: RateLimit = Field(default_factory=RateLimit)
    """The limit of each client address on /auth, behind the edge's own of one a second."""
    users: tuple[RateLimitOfUser, ...] = Field(default=(), max_length=MOST_USERS)
    """Users who have another limit than the rest."""


class ResultsSpec(Part):
    """What becomes of the files that tasks leave."""

    rules = (duration_between("ttl", "ttl", "1h", "87600h"),)

    ttl: Duration = "720h"
    """How long a result is kept. The task itself stays and says that its result is gone."""
    s3: S3Spec | None = None
    """A bucket that results are kept in, up to 512 MiB each. Left out, they are in Postgres, up to
    32 MiB each."""


class FilesSpec(Part):
    """What users may upload, and how long it is kept."""

    rules = (
        size_between("max_size", "maxSize", "1Mi", "1Gi"),
        size_between("quota", "quota", "1Mi", "1Ti"),
        duration_between("ttl", "ttl", "1h", "8760h"),
        Rule(
            cel="quantity(self.quota).compareTo(quantity(self.maxSize)) >= 0",
            message="quota must not be below maxSize",
            field="quota",
            holds=lambda files: to_number(files.quota) >= to_number(files.max_size),
        ),
    )

    max_size: Size = "100Mi"
    """Largest single file."""
    quota: Size = "1Gi"
    """How much one user's files may take together; they are kept in Postgres."""
    ttl: Duration = "168h"
    """How long a file is kept."""

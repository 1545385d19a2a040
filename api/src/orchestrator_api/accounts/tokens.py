"""Tokens: signed access tokens that no store is asked about, opaque refresh tokens.

Access tokens are JWTs (RFC 7519, hardened as RFC 8725 says): HS256 and nothing
else, the key looked up by ``kid`` in our own map, every claim required. Refresh
tokens are 256 random bits; only their SHA-256 is kept.

A client sends the same access token with each request, so what was verified is
remembered, in bounds. Remembered is the signature's verdict alone: the time is asked
again for each request, and so is, by ``identity``, whether the login still lives.

Before: ``service`` has checked a password or a refresh token.
After: ``identity`` verifies the access token of each request.
"""

import hashlib
import secrets
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import jwt

from orchestrator_api.errors import UnauthenticatedError
from orchestrator_core.accounts import Identity, SessionId
from orchestrator_core.tasks import UserId

ALGORITHM = "HS256"
ISSUER = "orchestrator"
AUDIENCE = "orchestrator-api"
ACCESS = "access"
CLOCK_SKEW_SECONDS = 5
"""Replicas' clocks differ a little; a token is good on the others at once."""
MAX_REMEMBERED = 4_096
"""Tokens of half a kilobyte: 2 MB, and more clients than one process serves at a time."""
REFUSAL = "Invalid or expired token"
_REQUIRED = ["iss", "aud", "sub", "sid", "name", "iat", "nbf", "exp", "jti", "typ"]


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A new refresh token: the text for the client, the hash for the store."""

    text: str
    hash: bytes


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key and the name that tokens call it by."""

    kid: str
    secret: bytes

    @classmethod
    def from_secret(cls, secret: str) -> "SigningKey":
        """Name ``secret`` by a part of its hash: all replicas agree, and it tells nothing."""
        digest = hashlib.sha256(b"orchestrator/kid/v1\x00" + secret.encode()).hexdigest()
        return cls(digest[:12], secret.encode())


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """What a good access token says."""

    identity: Identity
    good_until: float
    """Seconds since the epoch."""


class AccessTokens:
    """Issues and verifies access tokens."""

    def __init__(
        self,
        signing_key: SigningKey,
        *older_keys: SigningKey,
        lifetime_seconds: int,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Take the keys.

        Args:
            signing_key: signs new tokens.
            older_keys: no longer sign, but their tokens are good until they expire.
            lifetime_seconds: of a token.
            clock: seconds since the epoch.
        """
        self._signing_key = signing_key
        self._keys = {key.kid: key.secret for key in (*older_keys, signing_key)}
        self._clock = clock
        self._remembered: OrderedDict[str, VerifiedToken] = OrderedDict()
        self.lifetime_seconds = lifetime_seconds

    def issue(self, identity: Identity) -> str:
        """Return a token that speaks for ``identity`` from now for ``lifetime_seconds``."""
        now = int(self._clock())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(identity.user_id),
            "sid": identity.session_id.hex,
            "name": identity.username,
            "iat": now,
            "nbf": now - CLOCK_SKEW_SECONDS,
            "exp": now + self.lifetime_seconds,
            "jti": uuid.uuid4().hex,
            "typ": ACCESS,
        }
        headers = {"kid": self._signing_key.kid}
        return jwt.encode(claims, self._signing_key.secret, ALGORITHM, headers=headers)

    def verify(self, token: str) -> VerifiedToken:
        """Return whom ``token`` speaks for, and until when.

        Raises:
            UnauthenticatedError: it is not ours, not for this, or not good now; never says which.
        """
        verified = self._remembered.get(token)
        if verified is None:
            verified = self._remember(token, self._read(token))
        else:
            self._remembered.move_to_end(token)
        if verified.good_until <= self._clock():
            self._remembered.pop(token, None)
            raise UnauthenticatedError(REFUSAL)
        return verified

    def _read(self, token: str) -> VerifiedToken:
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            claims = jwt.decode(
                token,
                self._keys[str(kid)],
                algorithms=[ALGORITHM],
                issuer=ISSUER,
                audience=AUDIENCE,
                # ``nbf`` has the clocks' difference in it already; ``iat`` must not judge again.
                options={"require": _REQUIRED, "verify_iat": False},
            )
            return self._to_verified(claims)
        except (jwt.PyJWTError, KeyError, ValueError, RecursionError):
            raise UnauthenticatedError(REFUSAL) from None

    def _to_verified(self, claims: Mapping[str, object]) -> VerifiedToken:
        identity = Identity(
            user_id=UserId(int(_text(claims, "sub"))),
            username=_text(claims, "name"),
            session_id=SessionId(uuid.UUID(_text(claims, "sid"))),
        )
        if claims["typ"] != ACCESS:
            raise ValueError("no access token")
        # A lifetime that was shortened holds for older tokens too: revocations are
        # remembered for one lifetime only.
        expires_at = min(_number(claims, "exp"), _number(claims, "iat") + self.lifetime_seconds)
        return VerifiedToken(identity, expires_at)

    def _remember(self, token: str, verified: VerifiedToken) -> VerifiedToken:
        self._remembered[token] = verified
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return verified


def make_refresh_token() -> RefreshToken:
    """Return a new random refresh token."""
    text = secrets.token_urlsafe(32)
    return RefreshToken(text, hash_refresh_token(text))


def hash_refresh_token(text: str) -> bytes:
    """Return what the store knows a refresh token by."""
    return hashlib.sha256(text.encode("utf-8")).digest()


def _text(claims: Mapping[str, object], name: str) -> str:
    value = claims[name]
    if not isinstance(value, str):
        raise ValueError(f"{name} is no text")  # noqa: TRY004 - one kind of error for all claims
    return value


def _number(claims: Mapping[str, object], name: str) -> float:
    value = claims[name]
    if not isinstance(value, int | float):
        raise ValueError(f"{name} is no number")  # noqa: TRY004 - one kind of error for all claims
    return value

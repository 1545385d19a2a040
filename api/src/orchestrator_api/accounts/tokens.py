"""Tokens: signed access tokens that no store is asked about, opaque refresh tokens.

Access tokens are JWTs (RFC 7519, hardened as RFC 8725 says): HS256 and nothing
else, the key looked up by ``kid`` in our own map, every claim required. Refresh
tokens are 256 random bits; only their SHA-256 is kept.

Before: ``service`` has checked a password or a refresh token.
After: ``identity`` verifies the access token of each request.
"""

import hashlib
import secrets
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

import jwt

from orchestrator_api.errors import UnauthenticatedError
from orchestrator_core.tasks import UserId

ALGORITHM = "HS256"
ISSUER = "orchestrator"
AUDIENCE = "orchestrator-api"
ACCESS = "access"
CLOCK_SKEW_SECONDS = 5
"""Replicas' clocks differ a little; a token is good on the others at once."""
_REQUIRED = ["iss", "aud", "sub", "iat", "nbf", "exp", "jti", "typ"]
_REFUSAL = "Invalid or expired token"


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
        self.lifetime_seconds = lifetime_seconds

    def issue(self, user_id: UserId) -> str:
        """Return a token for ``user_id``, good from now for ``lifetime_seconds``."""
        now = int(self._clock())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": str(user_id),
            "iat": now,
            "nbf": now - CLOCK_SKEW_SECONDS,
            "exp": now + self.lifetime_seconds,
            "jti": uuid.uuid4().hex,
            "typ": ACCESS,
        }
        headers = {"kid": self._signing_key.kid}
        return jwt.encode(claims, self._signing_key.secret, ALGORITHM, headers=headers)

    def verify(self, token: str) -> UserId:
        """Return whom ``token`` speaks for.

        Raises:
            UnauthenticatedError: it is not ours, not for this, or not good now; never says which.
        """
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
            if claims["typ"] != ACCESS:
                raise UnauthenticatedError(_REFUSAL)
            return UserId(int(claims["sub"]))
        except (jwt.PyJWTError, KeyError, ValueError, RecursionError):
            raise UnauthenticatedError(_REFUSAL) from None


def make_refresh_token() -> RefreshToken:
    """Return a new random refresh token."""
    text = secrets.token_urlsafe(32)
    return RefreshToken(text, hash_refresh_token(text))


def hash_refresh_token(text: str) -> bytes:
    """Return what the store knows a refresh token by."""
    return hashlib.sha256(text.encode("utf-8")).digest()

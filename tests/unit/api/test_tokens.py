"""Access tokens against everything an attacker may do to them (RFC 8725)."""

import base64
import hashlib
import hmac
import json
import time
import uuid
from typing import Any

import jwt
import pytest

from orchestrator_api.accounts.tokens import (
    AUDIENCE,
    ISSUER,
    MAX_REMEMBERED,
    AccessTokens,
    SigningKey,
    hash_refresh_token,
    make_refresh_token,
)
from orchestrator_api.errors import UnauthenticatedError
from orchestrator_core.accounts import Identity, SessionId
from orchestrator_core.tasks import UserId

SECRET = "a secret of at least thirty-two bytes"
KEY = SigningKey.from_secret(SECRET)
TOKENS = AccessTokens(KEY, lifetime_seconds=900)
ADA = Identity(
    user_id=UserId(7),
    username="ada",
    session_id=SessionId(uuid.UUID("0f0e0d0c-0b0a-4908-8706-050403020100")),
)


def some_claims(**changes: object) -> dict[str, Any]:
    """Claims that are good, but for ``changes``; None leaves a claim out."""
    now = int(time.time())
    claims = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "7",
        "sid": ADA.session_id.hex,
        "name": "ada",
        "iat": now,
        "nbf": now,
        "exp": now + 900,
        "jti": "1",
        "typ": "access",
        **changes,
    }
    return {name: value for name, value in claims.items() if value is not None}


def signed(claims: dict[str, Any], **headers: object) -> str:
    return jwt.encode(claims, KEY.secret, "HS256", headers={"kid": KEY.kid, **headers})


def unsigned(header: dict[str, object], claims: dict[str, Any]) -> str:
    parts = (json.dumps(header), json.dumps(claims))
    return ".".join(base64.urlsafe_b64encode(p.encode()).rstrip(b"=").decode() for p in parts) + "."


def with_hmac(header: dict[str, object], secret: bytes) -> str:
    """A token that PyJWT itself would not make: any header, signed with HMAC-SHA256."""
    text = unsigned(header, some_claims())[:-1]
    signature = hmac.digest(secret, text.encode(), hashlib.sha256)
    return f"{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def test_a_fresh_token_speaks_for_its_login() -> None:
    assert TOKENS.verify(TOKENS.issue(ADA)).identity == ADA


def test_an_access_token_names_what_verifiers_need_and_lives_exactly_its_lifetime() -> None:
    tokens = AccessTokens(KEY, lifetime_seconds=900, clock=lambda: 1_000_000.5)

    token = tokens.issue(ADA)

    claims = jwt.decode(token, options={"verify_signature": False})
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT", "kid": KEY.kid}
    assert set(claims) == {"iss", "aud", "sub", "sid", "name", "iat", "nbf", "exp", "jti", "typ"}
    assert claims["exp"] - claims["iat"] == 900
    assert (claims["sub"], claims["sid"], claims["name"]) == ("7", ADA.session_id.hex, "ada")


def test_the_claims_of_these_tests_are_good_unless_changed() -> None:
    assert TOKENS.verify(signed(some_claims())).identity == ADA


@pytest.mark.parametrize(
    "claim",
    ["iss", "aud", "sub", "sid", "name", "iat", "nbf", "exp", "jti", "typ"],
    ids=lambda c: f"no {c}",
)
def test_a_token_without_one_of_its_claims_is_refused(claim: str) -> None:
    with pytest.raises(UnauthenticatedError):
        TOKENS.verify(signed(some_claims(**{claim: None})))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"exp": int(time.time()) - 1}, id="expired"),
        pytest.param({"nbf": int(time.time()) + 300}, id="not good yet"),
        pytest.param({"aud": "another-api"}, id="for another audience"),
        pytest.param({"iss": "somebody-else"}, id="of another issuer"),
        pytest.param({"typ": "refresh"}, id="of another type"),
        pytest.param({"sub": "admin"}, id="for no user id"),
        pytest.param({"sub": 7}, id="with a number as subject"),
        pytest.param({"sid": "mine"}, id="for no login's id"),
        pytest.param({"sid": 7}, id="with a number as login"),
        pytest.param({"name": 7}, id="with a number as name"),
        pytest.param({"typ": ["access"]}, id="with a list as type"),
        pytest.param({"iat": "now"}, id="with a word as its beginning"),
        pytest.param({"exp": "tomorrow"}, id="with a word as expiry"),
    ],
)
def test_a_well_signed_token_with_wrong_claims_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(UnauthenticatedError):
        TOKENS.verify(signed(some_claims(**changes)))


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(unsigned({"alg": "none", "kid": KEY.kid}, some_claims()), id="alg none"),
        pytest.param(unsigned({"alg": "NoNe", "kid": KEY.kid}, some_claims()), id="alg NoNe"),
        pytest.param(unsigned({"kid": KEY.kid}, some_claims()), id="no alg"),
        pytest.param(unsigned({"alg": "HS256", "kid": KEY.kid}, some_claims()), id="no signature"),
        pytest.param(
            jwt.encode(some_claims(), KEY.secret * 2, "HS256", headers={"kid": KEY.kid}),
            id="signed with another key",
        ),
        pytest.param(
            jwt.encode(some_claims(), KEY.secret * 2, "HS512", headers={"kid": KEY.kid}),
            id="alg HS512",
        ),
        pytest.param(
            jwt.encode(some_claims(), SECRET.encode() * 2, "HS384", headers={"kid": KEY.kid}),
            id="alg HS384",
        ),
        pytest.param(with_hmac({"alg": "RS256", "kid": KEY.kid}, KEY.secret), id="alg RS256"),
        pytest.param(with_hmac({"alg": "hs256", "kid": KEY.kid}, KEY.secret), id="alg hs256"),
        pytest.param(with_hmac({"kid": KEY.kid}, KEY.secret), id="no alg, but well signed"),
        pytest.param(with_hmac({"alg": "HS256", "kid": KEY.kid}, b""), id="empty key"),
        pytest.param(with_hmac({"alg": "HS256", "kid": ["x"]}, KEY.secret), id="kid is a list"),
        pytest.param(with_hmac({"alg": "HS256", "kid": ""}, b""), id="empty kid and key"),
        pytest.param(jwt.encode(some_claims(), KEY.secret, "HS256"), id="no kid"),
        pytest.param(signed(some_claims(), kid="unknown"), id="unknown kid"),
        pytest.param(signed(some_claims(), kid="../../../dev/null"), id="kid with a path"),
        pytest.param(signed(some_claims(), kid="' OR 1=1 --"), id="kid with SQL"),
        pytest.param(
            jwt.encode(
                some_claims(),
                b"key of the attacker, long enough for HS256",
                "HS256",
                headers={"kid": "theirs", "jwk": {"kty": "oct", "k": "a2V5"}, "jku": "http://x"},
            ),
            id="brings its own key",
        ),
        pytest.param("", id="empty"),
        pytest.param("a.b.c", id="garbage"),
        pytest.param("." * 1000, id="dots"),
        pytest.param("é.ü.ß", id="not ASCII"),
        pytest.param(make_refresh_token().text, id="a refresh token"),
        pytest.param(unsigned({"alg": "HS256"}, {})[:-1] + "[" * 5000, id="deep nesting"),
    ],
)
def test_a_forged_or_broken_token_is_refused(token: str) -> None:
    with pytest.raises(UnauthenticatedError):
        TOKENS.verify(token)


@pytest.mark.parametrize("name", ["jku", "x5u", "jwk", "x5c"])
def test_a_key_that_a_token_brings_is_never_used(name: str) -> None:
    theirs = b"key of the attacker, long enough for HS256"
    brought = {"kty": "oct", "k": base64.urlsafe_b64encode(theirs).decode()}

    with pytest.raises(UnauthenticatedError):
        TOKENS.verify(with_hmac({"alg": "HS256", "kid": KEY.kid, name: brought}, theirs))


def test_a_token_whose_content_was_changed_is_refused() -> None:
    header, _, signature = TOKENS.issue(ADA).split(".")
    claims = unsigned({}, some_claims(sub="8")).split(".")[1]

    with pytest.raises(UnauthenticatedError):
        TOKENS.verify(f"{header}.{claims}.{signature}")


def test_the_refusal_never_says_what_was_wrong() -> None:
    refusals = set()
    for token in ("garbage", signed(some_claims(aud="x")), signed(some_claims(exp=1))):
        with pytest.raises(UnauthenticatedError) as refusal:
            TOKENS.verify(token)
        refusals.add(str(refusal.value))

    assert refusals == {"Invalid or expired token"}


def test_tokens_of_the_key_before_are_good_after_a_rotation() -> None:
    new_key = SigningKey.from_secret("another secret, also long enough for it")
    rotated = AccessTokens(new_key, KEY, lifetime_seconds=900)

    old_token, new_token = TOKENS.issue(ADA), rotated.issue(ADA)

    assert rotated.verify(old_token).identity == ADA
    assert rotated.verify(new_token).identity == ADA
    with pytest.raises(UnauthenticatedError):
        TOKENS.verify(new_token)


def test_a_token_is_good_on_a_replica_whose_clock_is_a_little_behind() -> None:
    ahead = AccessTokens(KEY, lifetime_seconds=900, clock=lambda: time.time() + 4)

    assert TOKENS.verify(ahead.issue(ADA)).identity == ADA


def test_a_token_that_was_verified_before_ends_at_its_time() -> None:
    now = time.time()
    tokens = AccessTokens(KEY, lifetime_seconds=900, clock=lambda: now)
    token = tokens.issue(ADA)
    tokens.verify(token)

    now += 899
    still = tokens.verify(token)
    now += 1

    assert still.identity == ADA
    with pytest.raises(UnauthenticatedError):
        tokens.verify(token)


def test_a_shorter_lifetime_holds_for_tokens_that_were_issued_before() -> None:
    now = time.time()
    token = AccessTokens(KEY, lifetime_seconds=3_600, clock=lambda: now).issue(ADA)
    shortened = AccessTokens(KEY, lifetime_seconds=60, clock=lambda: now)
    shortened.verify(token)

    now += 60

    with pytest.raises(UnauthenticatedError):
        shortened.verify(token)


def test_a_token_is_decoded_once_and_the_oldest_of_too_many_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decoded = []
    real = jwt.decode

    def watched(token: str, *args: Any, **options: Any) -> Any:
        decoded.append(token)
        return real(token, *args, **options)

    monkeypatch.setattr(jwt, "decode", watched)
    tokens = AccessTokens(KEY, lifetime_seconds=900)
    first, second = tokens.issue(ADA), tokens.issue(ADA)
    for token in (first, second, first):
        tokens.verify(token)
    for _ in range(MAX_REMEMBERED - 1):
        tokens.verify(tokens.issue(ADA))
    decoded.clear()

    tokens.verify(first)
    tokens.verify(second)

    assert decoded == [second]


def test_what_was_refused_is_not_remembered() -> None:
    tokens = AccessTokens(KEY, lifetime_seconds=900)
    forged = signed(some_claims(aud="x"))

    for _ in range(2):
        with pytest.raises(UnauthenticatedError):
            tokens.verify(forged)


def test_refresh_tokens_carry_256_bits_and_never_repeat() -> None:
    tokens = [make_refresh_token() for _ in range(100)]

    assert len({token.text for token in tokens}) == 100
    assert all(len(base64.urlsafe_b64decode(token.text + "=")) == 32 for token in tokens)


def test_the_hash_of_a_refresh_token_is_all_that_finds_it() -> None:
    token = make_refresh_token()

    assert hash_refresh_token(token.text) == token.hash
    assert len(token.hash) == 32

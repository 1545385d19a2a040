"""Passwords of every shape, and the bounds on hashing them."""

import asyncio
import threading
from collections.abc import Iterator

import bcrypt
import pytest

from orchestrator_api.accounts.passwords import PasswordHasher
from orchestrator_core.errors import OverloadedError


@pytest.fixture
def hasher() -> Iterator[PasswordHasher]:
    with PasswordHasher.open(rounds=4) as opened:
        yield opened


@pytest.mark.parametrize(
    "password",
    ["password123", "x" * 72, "x" * 73, "x" * 10_000, "pässwörd 🐘🐘🐘", "nul\x00inside", " "],
    ids=["original", "72 bytes", "73 bytes", "10 kB", "emoji", "NUL", "space"],
)
async def test_a_password_matches_its_own_hash_and_no_near_miss(
    hasher: PasswordHasher, password: str
) -> None:
    password_hash = await hasher.hash(password)

    assert await hasher.verify(password, password_hash)
    assert not await hasher.verify(password + "x", password_hash)
    assert not await hasher.verify(password[:-1], password_hash)


async def test_what_follows_bcrypts_72_bytes_counts_too(hasher: PasswordHasher) -> None:
    password_hash = await hasher.hash("x" * 72 + "secret")

    assert not await hasher.verify("x" * 72 + "guess", password_hash)
    assert not await hasher.verify("x" * 72, password_hash)


async def test_the_same_characters_composed_differently_are_the_same_password(
    hasher: PasswordHasher,
) -> None:
    password_hash = await hasher.hash("caf\u00e9 noir")

    assert await hasher.verify("cafe\u0301 noir", password_hash)


async def test_two_hashes_of_one_password_differ(hasher: PasswordHasher) -> None:
    assert await hasher.hash("password123") != await hasher.hash("password123")


async def test_an_unknown_account_costs_a_real_comparison_and_never_matches(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = []
    real = bcrypt.checkpw

    def watched(password: bytes, hashed: bytes) -> bool:
        compared.append(hashed)
        return real(password, hashed)

    monkeypatch.setattr(bcrypt, "checkpw", watched)
    assert not await hasher.verify("nobody's password", None)

    assert len(compared) == 1
    assert compared[0].startswith(b"$2b$04$")


async def test_a_burst_beyond_the_queue_is_refused_at_once_and_the_rest_is_served(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = threading.Event()

    def slow(_password: bytes, _hashed: bytes) -> bool:
        return may_go_on.wait(10)

    monkeypatch.setattr(bcrypt, "checkpw", slow)
    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(hasher.verify("p", "$2b$...")) for _ in range(18)]
        await asyncio.sleep(0)

        with pytest.raises(OverloadedError, match="passwords to hash"):
            await hasher.verify("p", "$2b$...")
        may_go_on.set()

    assert all(task.result() for task in waiting)
    assert await hasher.verify("p", "$2b$...")


async def test_a_request_that_was_given_up_keeps_its_place_until_its_thread_is_free(
    hasher: PasswordHasher, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, may_go_on = threading.Event(), threading.Event()

    def slow(_password: bytes, _hashed: bytes) -> bool:
        entered.set()
        return may_go_on.wait(10)

    monkeypatch.setattr(bcrypt, "checkpw", slow)
    given_up = [asyncio.create_task(hasher.verify("p", "$2b$...")) for _ in range(2)]
    await asyncio.to_thread(entered.wait, 10)
    for task in given_up:
        task.cancel()
    await asyncio.gather(*given_up, return_exceptions=True)

    later = [asyncio.create_task(hasher.verify("p", "$2b$...")) for _ in range(16)]
    await asyncio.sleep(0)

    with pytest.raises(OverloadedError):
        await hasher.verify("p", "$2b$...")
    may_go_on.set()
    await asyncio.gather(*later)

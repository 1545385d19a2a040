"""The account store's promises, against real Postgres: no login slips past a change."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from orchestrator_core.accounts import Account, AuthEvent, SessionId
from orchestrator_core.errors import RowRefusedError
from orchestrator_core.postgres.account_store import AccountStore, NewSession
from orchestrator_core.postgres.database import Database


@pytest.fixture
def store(database: Database) -> AccountStore:
    return AccountStore(database)


@pytest.fixture
async def account(store: AccountStore) -> Account:
    await store.insert("Ada", "old hash")
    found = await store.find("ada")
    assert found is not None
    return found


def a_session() -> NewSession:
    return NewSession(
        id=SessionId(uuid.uuid4()), token_hash=uuid.uuid4().bytes * 2, lifetime_seconds=3_600
    )


async def a_login(store: AccountStore, account: Account) -> NewSession:
    session = a_session()
    assert await store.start_session(account, session)
    return session


async def live_sessions(database: Database) -> set[SessionId]:
    async with database.answering("look") as connection:
        rows = await connection.fetch("SELECT id FROM token_families WHERE revoked_at IS NULL")
    return {SessionId(row["id"]) for row in rows}


async def events(database: Database) -> list[tuple[str, SessionId | None]]:
    async with database.answering("look") as connection:
        rows = await connection.fetch("SELECT kind, session_id FROM auth_events ORDER BY id")
    return [(row["kind"], row["session_id"]) for row in rows]


async def redeem(store: AccountStore, token_hash: bytes, successor: bytes) -> str:
    redemption = await store.redeem(token_hash, successor, lifetime_seconds=3_600, grace_seconds=20)
    return redemption.verdict.name


async def test_a_login_checked_against_the_old_password_does_not_begin_after_the_change(
    store: AccountStore, account: Account, database: Database
) -> None:
    asking, successor = await a_login(store, account), a_session()
    await store.change_password(account, asking.id, "new hash", successor)

    began = await store.start_session(account, a_session())

    assert not began
    assert await live_sessions(database) == {successor.id}


async def test_logins_that_race_with_a_change_of_the_password_never_outlive_it(
    store: AccountStore, account: Account, database: Database
) -> None:
    asking, successor = await a_login(store, account), a_session()
    others = [a_session() for _ in range(12)]

    async with asyncio.TaskGroup() as group:
        for each in others[:6]:
            group.create_task(store.start_session(account, each))
        change = group.create_task(store.change_password(account, asking.id, "new hash", successor))
        for each in others[6:]:
            group.create_task(store.start_session(account, each))

    assert change.result() is not None
    assert await live_sessions(database) == {successor.id}


async def test_of_two_changes_from_two_logins_at_once_one_is_made(
    store: AccountStore, account: Account, database: Database
) -> None:
    asking = [await a_login(store, account) for _ in range(2)]
    successors = [a_session() for _ in range(2)]

    changes = await asyncio.gather(
        *(
            store.change_password(account, asking[i].id, f"new hash {i}", successors[i])
            for i in range(2)
        )
    )

    [winner] = [i for i, ended in enumerate(changes) if ended is not None]
    assert await live_sessions(database) == {successors[winner].id}
    found = await store.find("ada")
    assert found is not None
    assert found.password_hash == f"new hash {winner}"


async def test_a_login_that_has_ended_changes_no_password(
    store: AccountStore, account: Account, database: Database
) -> None:
    asking = await a_login(store, account)
    await store.end_session(asking.id)
    told = await events(database)

    ended = await store.change_password(account, asking.id, "new hash", a_session())

    assert ended is None
    assert await store.find("ada") == account
    assert await events(database) == told


async def test_somebody_elses_login_changes_no_password(
    store: AccountStore, account: Account
) -> None:
    await store.insert("eve", "hash of eve")
    eve = await store.find("eve")
    assert eve is not None
    login_of_eve = await a_login(store, eve)

    ended = await store.change_password(account, login_of_eve.id, "new hash", a_session())

    assert ended is None
    assert await store.find("ada") == account


async def test_every_act_leaves_one_event_in_its_order(
    store: AccountStore, account: Account, database: Database
) -> None:
    first, second = await a_login(store, account), await a_login(store, account)
    successor, last, latest = a_session(), uuid.uuid4().bytes * 2, uuid.uuid4().bytes * 2
    await redeem(store, first.token_hash, last)
    await redeem(store, last, latest)
    await redeem(store, first.token_hash, b"x" * 32)
    await store.change_password(account, second.id, "new hash", successor)
    await store.end_session(successor.id)
    await store.end_session(successor.id)

    told = await events(database)

    assert told == [
        (AuthEvent.REGISTERED, None),
        (AuthEvent.LOGGED_IN, first.id),
        (AuthEvent.LOGGED_IN, second.id),
        (AuthEvent.REFRESHED, first.id),
        (AuthEvent.REFRESHED, first.id),
        (AuthEvent.REUSE_FOUND, first.id),
        (AuthEvent.PASSWORD_CHANGED, successor.id),
        (AuthEvent.LOGGED_OUT, successor.id),
    ]


async def test_the_database_knows_the_same_events(database: Database) -> None:
    async with database.answering("read the constraint") as connection:
        text = await connection.fetchval(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'auth_events_kind'"
        )

    assert {word for word in text.split("'") if word.isupper()} - {"CHECK"} == set(AuthEvent)


async def test_what_leaves_no_event_does_not_happen(
    store: AccountStore, account: Account, database: Database
) -> None:
    login, other = await a_login(store, account), await a_login(store, account)
    before = await snapshot(database)
    async with database.answering("refuse events") as connection:
        await connection.execute("ALTER TABLE auth_events ADD CHECK (false) NOT VALID")
    acts: dict[str, Callable[[], Awaitable[object]]] = {
        "register": lambda: store.insert("eve", "hash"),
        "log in": lambda: store.start_session(account, a_session()),
        "refresh": lambda: redeem(store, login.token_hash, b"x" * 32),
        "log out": lambda: store.end_session(login.id),
        "change": lambda: store.change_password(account, other.id, "new", a_session()),
    }

    for act in acts.values():
        with pytest.raises(RowRefusedError):
            await act()

    assert await snapshot(database) == before


async def snapshot(database: Database) -> list[str]:
    async with database.answering("look") as connection:
        return [
            row[0]
            for table in ("users", "token_families", "refresh_tokens", "auth_events")
            for row in await connection.fetch(f"SELECT t::text FROM {table} t ORDER BY 1")  # noqa: S608 - names above
        ]


async def test_auth_events_are_append_only(store: AccountStore, database: Database) -> None:
    await store.insert("ada", "hash")

    async with database.answering("change an event") as connection:
        with pytest.raises(asyncpg.CheckViolationError, match="append-only"):
            await connection.execute("UPDATE auth_events SET user_id = 2")


async def test_pruning_forgets_old_events_the_oldest_first_up_to_its_limit(
    store: AccountStore, account: Account, database: Database
) -> None:
    async with database.answering("make some history") as connection:
        await connection.execute(
            "INSERT INTO auth_events (user_id, kind, at)"
            " SELECT $1, 'REGISTERED', now() - make_interval(days => d)"
            " FROM unnest(ARRAY[89, 91, 92, 93]) d",
            account.id,
        )

    pruned = [await store.prune_auth_events(limit=2) for _ in range(3)]

    assert pruned == [2, 1, 0]
    assert [kind for kind, _ in await events(database)] == [AuthEvent.REGISTERED] * 2


async def end_long_ago(database: Database, *sessions: NewSession) -> None:
    """Let the sessions end, the first one the longest ago."""
    async with database.answering("age") as connection:
        await connection.execute(
            "UPDATE token_families SET expires_at = now() - make_interval(days => 9 - n::integer)"
            " FROM unnest($1::uuid[]) WITH ORDINALITY AS given(session_id, n)"
            " WHERE id = session_id",
            [session.id for session in sessions],
        )


async def test_pruning_forgets_ended_logins_the_longest_ended_first_with_their_tokens(
    store: AccountStore, account: Account, database: Database
) -> None:
    kept, *ended = [await a_login(store, account) for _ in range(4)]
    await end_long_ago(database, *ended)

    first = await store.prune_families(limit=2)
    left = await live_sessions(database)
    second = await store.prune_families(limit=2)

    assert (first, second) == (2, 1)
    assert left == {kept.id, ended[2].id}
    assert await live_sessions(database) == {kept.id}
    async with database.answering("count tokens") as connection:
        assert await connection.fetchval("SELECT count(*) FROM refresh_tokens") == 1


async def test_replicas_that_prune_at_once_do_not_wait_for_each_other(
    store: AccountStore, account: Account, database: Database
) -> None:
    ended = [await a_login(store, account) for _ in range(3)]
    await end_long_ago(database, *ended)

    async with database.answering("prune elsewhere") as connection, connection.transaction():
        await connection.execute("SELECT FROM token_families WHERE id = $1 FOR UPDATE", ended[0].id)
        pruned = await store.prune_families(limit=2)

    assert pruned == 2
    assert await live_sessions(database) == {ended[0].id}


async def test_a_reading_of_revocations_finds_what_ended_since_and_shortly_before(
    store: AccountStore, account: Account
) -> None:
    early, late, living = [await a_login(store, account) for _ in range(3)]
    await store.end_session(early.id)
    first = await store.read_revocations(None, overlap_seconds=900)
    await store.end_session(late.id)

    overlapping = await store.read_revocations(first.read_at, overlap_seconds=30)
    without_overlap = await store.read_revocations(first.read_at, overlap_seconds=0)

    assert first.session_ids == [early.id]
    assert set(overlapping.session_ids) == {early.id, late.id}
    assert without_overlap.session_ids == [late.id]
    assert living.id not in overlapping.session_ids


@pytest.mark.parametrize("act", ["log out", "reuse", "change"])
async def test_others_are_notified_of_a_revocation_when_it_is_committed(
    store: AccountStore, account: Account, database: Database, act: str
) -> None:
    login = await a_login(store, account)
    successors = [uuid.uuid4().bytes * 2 for _ in range(2)]
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with database.answering("listen") as connection:
        await connection.add_listener(
            "orchestrator_revocations", lambda *message: heard.put_nowait(message[3])
        )

        if act == "log out":
            await store.end_session(login.id)
        elif act == "reuse":
            await redeem(store, login.token_hash, successors[0])
            await redeem(store, successors[0], successors[1])
            await redeem(store, login.token_hash, b"x" * 32)
        else:
            await store.change_password(account, login.id, "new hash", a_session())
        payload = await asyncio.wait_for(heard.get(), 3)

        await connection.reset()

    assert payload == ("" if act == "change" else str(login.id))

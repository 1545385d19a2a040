"""The catalogue's promises about freshness, schemas and payloads."""

import asyncio
import json
from collections.abc import Mapping

import pytest

from orchestrator_api.errors import FieldFault
from orchestrator_api.tasks.catalogue import Catalogue, compile_type
from orchestrator_core.errors import StoreUnavailableError, UnknownTaskTypeError
from orchestrator_core.postgres.worker_store import TaskType, WorkerStore


class AWorkerStore(WorkerStore):
    """Types in memory; counts its readings."""

    def __init__(self, *types: TaskType) -> None:
        self.types = list(types)
        self.readings = 0
        self.is_away = False
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    async def list_types(self) -> list[TaskType]:
        self.readings += 1
        await self.may_answer.wait()
        if self.is_away:
            raise StoreUnavailableError("postgres", "list task types")
        return list(self.types)


class AClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def a_type(name: str = "greet", schema: Mapping[str, object] | None = None) -> TaskType:
    return TaskType(
        name=name,
        payload_schema=json.dumps(schema or {"type": "object"}),
        timeout_seconds=60,
        max_attempts=5,
    )


def faults_of(schema: Mapping[str, object], payload: Mapping[str, object]) -> list[FieldFault]:
    return compile_type(a_type(schema=schema)).find_faults(payload)


async def test_a_published_type_is_found() -> None:
    known = await Catalogue(AWorkerStore(a_type())).find("greet")

    assert known.published.name == "greet"


async def test_an_unknown_type_is_refused_with_the_known_ones() -> None:
    catalogue = Catalogue(AWorkerStore(a_type("b"), a_type("a")))

    with pytest.raises(UnknownTaskTypeError) as refusal:
        await catalogue.find("c")

    assert refusal.value.known == ("a", "b")


async def test_a_fresh_reading_serves_without_asking_again() -> None:
    store, clock = AWorkerStore(a_type()), AClock()
    catalogue = Catalogue(store, clock=clock)

    for _ in range(3):
        await catalogue.find("greet")
        clock.now += 2

    assert store.readings == 1


async def test_a_changed_limit_is_known_after_five_seconds() -> None:
    store, clock = AWorkerStore(a_type()), AClock()
    catalogue = Catalogue(store, clock=clock)
    await catalogue.find("greet")
    store.types = [TaskType(name="greet", payload_schema="{}", timeout_seconds=9, max_attempts=1)]

    clock.now += 5.1
    known = await catalogue.find("greet")

    assert known.published.timeout_seconds == 9


async def test_a_type_published_a_moment_ago_is_found_without_waiting_for_the_cache() -> None:
    store, clock = AWorkerStore(), AClock()
    catalogue = Catalogue(store, clock=clock)
    with pytest.raises(UnknownTaskTypeError):
        await catalogue.find("greet")
    store.types = [a_type()]

    clock.now += 1.1
    known = await catalogue.find("greet")

    assert known.published.name == "greet"


async def test_names_guessed_at_random_cost_one_reading_a_second() -> None:
    store, clock = AWorkerStore(a_type()), AClock()
    catalogue = Catalogue(store, clock=clock)

    for n in range(100):
        with pytest.raises(UnknownTaskTypeError):
            await catalogue.find(f"guess-{n}")

    assert store.readings == 1


async def test_requests_that_need_the_first_reading_share_it() -> None:
    store = AWorkerStore(a_type())
    store.may_answer.clear()
    catalogue = Catalogue(store)
    async with asyncio.TaskGroup() as group:
        finding = [group.create_task(catalogue.find("greet")) for _ in range(10)]
        await asyncio.sleep(0)

        store.may_answer.set()

    assert all(task.result().published.name == "greet" for task in finding)
    assert store.readings == 1


async def test_an_old_reading_serves_while_postgres_is_away() -> None:
    store, clock = AWorkerStore(a_type()), AClock()
    catalogue = Catalogue(store, clock=clock)
    await catalogue.find("greet")
    store.is_away = True

    clock.now += 3_600
    known = await catalogue.find("greet")

    assert known.published.name == "greet"


async def test_without_any_reading_an_absent_postgres_is_reported() -> None:
    store = AWorkerStore(a_type())
    store.is_away = True

    with pytest.raises(StoreUnavailableError):
        await Catalogue(store).find("greet")


async def test_an_unchanged_type_is_not_compiled_again() -> None:
    store, clock = AWorkerStore(a_type()), AClock()
    catalogue = Catalogue(store, clock=clock)
    first = await catalogue.find("greet")

    clock.now += 10
    second = await catalogue.find("greet")

    assert store.readings == 2
    assert second is first


@pytest.mark.parametrize("schema", ['{"type": "no such type"}', "not JSON", '{"pattern": "("}'])
async def test_a_type_with_a_broken_schema_is_left_out_and_the_others_serve(schema: str) -> None:
    broken = TaskType(name="broken", payload_schema=schema, timeout_seconds=1, max_attempts=1)
    catalogue = Catalogue(AWorkerStore(broken, a_type()))

    known = await catalogue.list_all()

    assert [each.published.name for each in known] == ["greet"]


def test_a_fault_names_its_field_however_deep() -> None:
    schema = {
        "properties": {"boxes": {"items": {"properties": {"width": {"minimum": 1}}}}},
    }

    faults = faults_of(schema, {"boxes": [{"width": 1}, {"width": 0}]})

    assert faults == [FieldFault("payload.boxes.1.width", "0 is less than the minimum of 1")]


def test_an_optional_field_of_pydantic_is_explained_by_its_branch() -> None:
    schema = {
        "properties": {"width": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}}
    }

    faults = faults_of(schema, {"width": 0})

    assert faults == [FieldFault("payload.width", "0 is less than the minimum of 1")]


def test_faults_are_bounded_in_number_and_length() -> None:
    schema = {"additionalProperties": {"type": "integer"}}

    faults = faults_of(schema, {str(n): "x" * 10_000 for n in range(100)})

    assert len(faults) == 10
    assert all(len(fault.message) <= 300 for fault in faults)


def test_a_recursive_schema_never_overflows_the_stack() -> None:
    schema = {
        "$ref": "#/$defs/node",
        "$defs": {"node": {"properties": {"next": {"allOf": [{"$ref": "#/$defs/node"}]}}}},
    }
    payload: dict[str, object] = {}
    for _ in range(190):
        payload = {"next": payload}

    faults = faults_of(schema, payload)

    assert faults in ([], [FieldFault("payload", "is nested too deep")])


def test_a_reference_to_the_outside_is_never_fetched() -> None:
    known = compile_type(a_type(schema={"$ref": "http://127.0.0.1:9/schema.json"}))

    faults = known.find_faults({})

    assert faults == [FieldFault("payload", "can't be checked: the type's schema is broken")]


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("date-time", "2026-05-01T10:00:00Z", "AAA"),
        ("date-time", "2026-05-01T10:00:00.5+02:00", "2026-05-01"),
        ("date", "2026-05-01", "2026-13-01"),
    ],
)
def test_a_text_must_have_the_format_that_its_schema_names(kind: str, good: str, bad: str) -> None:
    schema = {"type": "object", "properties": {"at": {"type": "string", "format": kind}}}

    assert faults_of(schema, {"at": good}) == []
    assert [fault.field for fault in faults_of(schema, {"at": bad})] == ["payload.at"]

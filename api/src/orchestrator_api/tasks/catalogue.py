"""The task types that workers can run, with their payload schemas compiled.

Workers publish the types into Postgres; this process only reads them, so it
needs none of the libraries that the handlers need.

Before: a request names a task type.
After: ``understanding`` checks the payload against it.
"""

import asyncio
import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import islice

import structlog
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, best_match
from referencing import Registry
from referencing.exceptions import Unresolvable

from orchestrator_api.errors import FieldFault
from orchestrator_core.errors import StoreUnavailableError, UnknownTaskTypeError
from orchestrator_core.postgres.worker_store import TaskType, WorkerStore

FRESH_SECONDS = 5.0
"""A changed limit may take this long to be known everywhere."""
MISS_FRESH_SECONDS = 1.0
"""A type published a second ago is found; names guessed at random cost one read a second."""
MAX_FAULTS = 10
_MAX_MESSAGE_LENGTH = 300

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class KnownType:
    """A published type and its compiled schema."""

    published: TaskType
    schema: Mapping[str, object]
    validator: Draft202012Validator = field(repr=False)

    def find_faults(self, payload: Mapping[str, object]) -> list[FieldFault]:
        """Return what is wrong with ``payload``, ten faults at most."""
        try:
            errors = islice(self.validator.iter_errors(payload), MAX_FAULTS)
            # Of an "anyOf" the deepest branch says more than "matches none of them".
            deepest = (best_match([error]) for error in errors)
            return [
                FieldFault(_to_field(error.absolute_path), error.message[:_MAX_MESSAGE_LENGTH])
                for error in deepest
                if error is not None
            ]
        except RecursionError:
            return [FieldFault("payload", "is nested too deep")]
        except Unresolvable:
            _log.exception("schema refers to the outside", task_type=self.published.name)
            return [FieldFault("payload", "can't be checked: the type's schema is broken")]


@dataclass(frozen=True, slots=True)
class _Snapshot:
    types: Mapping[str, KnownType]
    read_at: float


class Catalogue:
    """A cache of the types; an old reading is better than none while Postgres is away."""

    def __init__(self, store: WorkerStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._reading = asyncio.Lock()
        self._snapshot: _Snapshot | None = None

    async def find(self, task_type: str) -> KnownType:
        """Return the type of this name.

        Raises:
            UnknownTaskTypeError: no worker has published it.
            StoreUnavailableError: the types were never read and can't be now.
        """
        types = await self._types(FRESH_SECONDS)
        if task_type not in types:
            types = await self._types(MISS_FRESH_SECONDS)
        try:
            return types[task_type]
        except KeyError:
            raise UnknownTaskTypeError(task_type, types) from None

    async def list_all(self) -> list[KnownType]:
        """Return all types, by name.

        Raises:
            StoreUnavailableError: the types were never read and can't be now.
        """
        return list((await self._types(FRESH_SECONDS)).values())

    async def _types(self, max_age_seconds: float) -> Mapping[str, KnownType]:
        known = self._snapshot
        if known is not None:
            is_fresh = self._clock() - known.read_at <= max_age_seconds
            if is_fresh or self._reading.locked():
                return known.types
        async with self._reading:
            if self._snapshot is not known and self._snapshot is not None:
                return self._snapshot.types
            return (await self._read(known)).types

    async def _read(self, known: _Snapshot | None) -> _Snapshot:
        try:
            published = await self._store.list_types()
        except StoreUnavailableError:
            if known is None:
                raise
            return known
        types = dict(_compile_all(published, {} if known is None else known.types))
        self._snapshot = _Snapshot(types, self._clock())
        return self._snapshot


def _compile_all(
    published: Iterable[TaskType], known: Mapping[str, KnownType]
) -> Iterable[tuple[str, KnownType]]:
    for each in published:
        earlier = known.get(each.name)
        if earlier is not None and earlier.published == each:
            yield each.name, earlier
            continue
        try:
            yield each.name, compile_type(each)
        except (SchemaError, ValueError) as error:
            _log.exception(
                "task type left out: no valid schema", task_type=each.name, exc_info=error
            )


def compile_type(published: TaskType) -> KnownType:
    """Make a published type ready for use.

    Raises:
        ValueError: its schema is no JSON.
        SchemaError: its schema is no JSON Schema.
    """
    schema = json.loads(published.payload_schema)
    Draft202012Validator.check_schema(schema)
    # An empty registry: a "$ref" to the outside must never make this process fetch an address.
    validator = Draft202012Validator(
        schema, registry=Registry(), format_checker=Draft202012Validator.FORMAT_CHECKER
    )
    return KnownType(published, schema, validator)


def _to_field(path: Iterable[str | int]) -> str:
    return ".".join(["payload", *(str(part) for part in path)])

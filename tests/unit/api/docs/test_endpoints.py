"""The document is built when the types change, and served whatever Postgres does."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from api_clients import a_task_type
from orchestrator_api.docs.endpoints import DocumentCache
from orchestrator_api.tasks.catalogue import KnownType, compile_type
from orchestrator_core.errors import StoreUnavailableError


class FakeCatalogue:
    """Has types, or an error instead."""

    def __init__(self, *names: str) -> None:
        self.types = [a_type(name) for name in names]
        self.error: Exception | None = None

    async def list_all(self) -> list[KnownType]:
        if self.error is not None:
            raise self.error
        return list(self.types)


class Builder:
    """Builds a document that names its types, and counts."""

    def __init__(self) -> None:
        self.builds = 0

    def __call__(self, types: Sequence[KnownType]) -> Mapping[str, Any]:
        self.builds += 1
        return {"types": [known.published.name for known in types]}


def a_type(name: str) -> KnownType:
    return compile_type(a_task_type(name, {}))


async def read(cache: DocumentCache, catalogue: FakeCatalogue) -> Any:
    asset = await cache.read(catalogue)  # type: ignore[arg-type] # only ``list_all`` is asked for
    return json.loads(asset.content)["types"]


async def test_it_is_built_once_for_the_same_types() -> None:
    builder, catalogue = Builder(), FakeCatalogue("A")
    cache = DocumentCache(builder)

    assert [await read(cache, catalogue) for _ in range(3)] == [["A"]] * 3
    assert builder.builds == 1


@pytest.mark.parametrize("names", [["A", "B"], ["B"], []])
async def test_it_is_built_again_for_other_types(names: list[str]) -> None:
    catalogue = FakeCatalogue("A")
    cache = DocumentCache(Builder())
    await read(cache, catalogue)

    catalogue.types = [a_type(name) for name in names]

    assert await read(cache, catalogue) == names


async def test_without_postgres_the_last_one_is_served() -> None:
    catalogue = FakeCatalogue("A")
    cache = DocumentCache(Builder())
    await read(cache, catalogue)

    catalogue.error = StoreUnavailableError("postgres", "away")

    assert await read(cache, catalogue) == ["A"]


async def test_without_postgres_from_the_start_one_without_types_is_served() -> None:
    catalogue = FakeCatalogue()
    catalogue.error = StoreUnavailableError("postgres", "away")

    assert await read(DocumentCache(Builder()), catalogue) == []


async def test_a_catalogue_that_does_not_answer_is_waited_for_a_moment_only() -> None:
    class Silent(FakeCatalogue):
        async def list_all(self) -> list[KnownType]:
            await asyncio.Event().wait()
            return self.types

    cache = DocumentCache(Builder(), catalogue_seconds=0.01)

    assert await read(cache, Silent()) == []

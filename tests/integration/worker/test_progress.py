"""How far a task is stands in the database while it runs, wherever its handler runs."""

import pytest

from worker_bench import Bench, until


@pytest.mark.parametrize("task_type", ["demo_sleep", "demo_spin"])
async def test_a_long_task_tells_how_far_it_is(bench: Bench, task_type: str) -> None:
    await (await bench.start_worker()).ready()
    task_id = await bench.submit(task_type, payload={"seconds": 4})
    seen: list[float] = []

    async def look() -> bool:
        rows = await bench.rows(
            "SELECT progress FROM live_tasks WHERE task_id = $1 AND progress IS NOT NULL", task_id
        )
        seen.extend(row["progress"] for row in rows if row["progress"] not in seen)
        return (await bench.task(task_id)).status.is_final

    await until(look)

    assert len(seen) >= 2
    assert seen == sorted(seen)
    assert all(0 <= each <= 1 for each in seen)

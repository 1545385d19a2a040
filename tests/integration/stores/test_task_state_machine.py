"""Whatever order claims, heartbeats, verdicts, losses and cancellations come in, the rules hold.

Hypothesis makes up the orders; ``task_model`` says what each answer has to be and
what the tables must hold after it. Nothing races here, so that what fails can be
done again; ``test_claim_order`` and ``test_cancelling`` are about races.
"""

import asyncio
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

import services
from kept_tasks import keep_tasks
from orchestrator_core.attempts import (
    HandedBack,
    Outcome,
    ProgressReport,
    Tending,
)
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.task_store import MAX_FREE_HANDBACKS
from orchestrator_core.tasks import TaskPriority
from own_stores import create_database, drop_database, settings_of
from task_machine import (
    FAR_SECONDS,
    FEW,
    LET_A_RING_GROW_OLD,
    LET_A_TASK_BECOME_DUE,
    LET_HANDBACKS_BE_USED_UP,
    MANY,
    NO_SUCH_TASK,
    OUTCOMES,
    WORKERS,
    TaskMachine,
    choose,
    places,
    sizes,
)


class Orders(TaskMachine):
    """Everything that may happen to tasks."""

    # ---------------------------------------------------------------- clients

    @initialize(priorities=st.lists(st.sampled_from(TaskPriority), min_size=4, max_size=8))
    def begin(self, priorities: list[TaskPriority]) -> None:
        self.empty_the_tables()
        for priority in priorities:
            self.submit([priority], 2, None)

    @rule(
        priorities=st.lists(st.sampled_from(TaskPriority), min_size=1, max_size=4),
        max_attempts=st.integers(1, 3),
        delay_seconds=st.sampled_from([None, None, -FAR_SECONDS, FAR_SECONDS]),
    )
    def submit(
        self, priorities: list[TaskPriority], max_attempts: int, delay_seconds: float | None
    ) -> None:
        run_at = (
            None if delay_seconds is None else datetime.now(UTC) + timedelta(seconds=delay_seconds)
        )
        tasks = [self.a_task(priority, max_attempts, run_at) for priority in priorities]
        for task in tasks:
            # One by one: of those that became due together any may go first, and what Hypothesis
            # does again has to go the same way.
            [id_] = self.run(keep_tasks(self.database, [task], ring_after_seconds=FAR_SECONDS))
            self.model.keep([id_], [task], is_due=delay_seconds != FAR_SECONDS)

    @precondition(lambda self: self.model.tasks)
    @rule(place=places)
    def cancel(self, place: int) -> None:
        [task_id] = choose(list(self.model.tasks), place)

        answer = self.run(self.store.cancel(task_id))

        assert answer == self.model.cancel(task_id)

    # ---------------------------------------------------------------- workers

    @precondition(lambda self: self.model.tasks)
    @rule(
        place=places,
        size=sizes,
        wrong_hints=st.integers(0, 3),
        doubled=st.integers(0, 1),
        worker=st.sampled_from(WORKERS),
    )
    def take_messages(
        self, place: int, size: int, wrong_hints: int, doubled: int, worker: uuid.UUID
    ) -> None:
        named = choose(list(self.model.tasks), place, size)
        self.take([*named, *named[:doubled], *[NO_SUCH_TASK] * wrong_hints], worker)

    @precondition(lambda self: self.model.unfinished())
    @rule(place=places)
    def take_a_message(self, place: int) -> None:
        self.take(choose(self.model.unfinished(), place))

    @precondition(lambda self: self.claims)
    @rule(place=places, size=sizes)
    def extend(self, place: int, size: int) -> None:
        claims = self.choose_claims(self.claims, place, size)

        lost = self.run(self.store.extend_leases(claims, lease_seconds=FAR_SECONDS))

        assert lost == self.model.extend(claims)

    @precondition(lambda self: self.claims)
    @rule(
        place=places,
        size=sizes,
        progress=st.sampled_from(
            [None, ProgressReport(0.25), ProgressReport(0.5, "half"), ProgressReport(1.0, "")]
        ),
    )
    def tend(self, place: int, size: int, progress: ProgressReport | None) -> None:
        claims = self.choose_claims(self.claims, place, size)

        lost = self.run(
            self.store.tend([Tending(claim=each, progress=progress) for each in claims])
        )

        assert lost == self.model.tend(claims, progress)

    @precondition(lambda self: self.held)
    @rule(place=places, size=sizes, outcome=st.sampled_from(OUTCOMES))
    def settle_in_time(self, place: int, size: int, outcome: Outcome) -> None:
        claims = self.choose_claims(self.held, place, size)

        assert all(self.settle(claims, outcome))

    @precondition(lambda self: self.lost)
    @rule(place=places, size=sizes, outcome=st.sampled_from(OUTCOMES))
    def settle_late(self, place: int, size: int, outcome: Outcome) -> None:
        claims = self.choose_claims(self.lost, place, size)

        assert not any(self.settle(claims, outcome))

    # ---------------------------------------------------------------- time

    @precondition(lambda self: self.leased)
    @rule(place=places, size=sizes)
    def let_leases_run_out(self, place: int, size: int) -> None:
        for claim in choose(self.leased, place, size):
            self.let_a_lease_run_out(claim)

    @precondition(lambda self: self.not_due)
    @rule(place=places)
    def let_a_task_become_due(self, place: int) -> None:
        [task_id] = choose(self.not_due, place)
        self.execute(LET_A_TASK_BECOME_DUE, task_id)
        self.model.make_due(task_id)

    @precondition(lambda self: self.held)
    @rule(place=places)
    def hand_back_once_too_often(self, place: int) -> None:
        [claim] = choose(self.held, place)
        self.execute(LET_HANDBACKS_BE_USED_UP, claim.task_id, MAX_FREE_HANDBACKS)
        self.model.tasks[claim.task_id].handbacks = MAX_FREE_HANDBACKS

        assert self.settle([claim], HandedBack()) == [True]

    @precondition(lambda self: self.leased)
    @rule(place=places)
    def lose_a_lease_with_progress(self, place: int) -> None:
        [claim] = choose(self.leased, place)
        report = ProgressReport(0.75, "nearly")
        assert not self.run(self.store.tend([Tending(claim=claim, progress=report)]))
        self.model.tend([claim], report)

        self.let_a_lease_run_out(claim)
        self.take([claim.task_id])

    # ---------------------------------------------------------------- the sweep

    @precondition(lambda self: self.rung)
    @rule(place=places, size=sizes)
    def let_rings_grow_old(self, place: int, size: int) -> None:
        for task_id in choose(self.rung, place, size):
            self.execute(LET_A_RING_GROW_OLD, task_id)
            self.model.make_old(task_id)

    @rule(steps=st.permutations(range(5)), count=st.integers(1, 5))
    def sweep(self, steps: list[int], count: int) -> None:
        """One rule for all of it: each rule is as likely as any other, and these are quick."""
        moves = [
            self.fail_exhausted,
            self.take_first_rings,
            self.take_repeats,
            self.take_overtaken,
            self.count_waiting,
        ]
        for step in steps[:count]:
            moves[step]()

    def fail_exhausted(self) -> None:
        failed = self.run(self.rings.fail_exhausted(limit=MANY))

        assert len(failed) == len(set(failed))
        assert set(failed) == self.model.fail_exhausted()

    def take_first_rings(self) -> None:
        taken = self.run(self.rings.take_first_rings(limit=MANY, ring_after_seconds=FAR_SECONDS))

        assert len(taken) == len(set(taken))
        assert set(taken) == self.model.take_first_rings()

    def take_repeats(self) -> None:
        expected = self.model.due_repeats()
        assert self.run(self.rings.has_due_repeats()) == bool(expected)

        taken = self.run(self.rings.take_repeats(limit=FEW, ring_after_seconds=FAR_SECONDS))

        assert set(taken) <= expected
        assert len(taken) == min(FEW, len(expected))
        self.model.ring_again(taken)

    def take_overtaken(self) -> None:
        repeats = {id_: self.model.tasks[id_] for id_ in self.model.due_repeats()}
        latest = {priority: self.model.latest_running(priority) for priority in TaskPriority}

        taken = self.run(
            self.rings.take_overtaken(
                limit=MANY, ring_after_seconds=FAR_SECONDS, by_seconds=0.0, silent_seconds=0.0
            )
        )

        ages = {id_: latest[task.priority] - (task.due or 0) for id_, task in repeats.items()}
        # What became due in the same transaction may be a little older all the same.
        assert {id_ for id_, age in ages.items() if age > 0} <= set(taken)
        assert set(taken) <= {id_ for id_, age in ages.items() if age >= 0}
        self.model.ring_again(taken)

    def count_waiting(self) -> None:
        waiting = sum(task.is_waiting for task in self.model.tasks.values())

        assert self.run(self.rings.count_waiting(limit=FEW)) == min(FEW, waiting)


@pytest.fixture
def loop_runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def own_database(
    postgres_service: services.Service, loop_runner: asyncio.Runner
) -> Iterator[Database]:
    """A database of this test's own, used from the loop of ``loop_runner``."""
    port = postgres_service.port
    name = loop_runner.run(create_database(port))
    opening = Database.open(settings_of(port, name), application="test", max_connections=4)
    yield loop_runner.run(opening.__aenter__())
    loop_runner.run(opening.__aexit__(None, None, None))
    loop_runner.run(drop_database(port, name))


def test_no_order_of_events_breaks_a_rule(
    own_database: Database, loop_runner: asyncio.Runner
) -> None:
    class Machine(Orders):
        database, runner = own_database, loop_runner

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=40,
            stateful_step_count=50,
            deadline=None,
            # A busy machine makes them slow; the number of examples is the bound.
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )

"""Make the parts that watching needs, and connect them.

Before: ``orchestrator_api.wiring`` has opened the database.
After: it runs the services; requests find the rest in ``request.state``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from orchestrator_api.accounts import revocations as revoking
from orchestrator_api.accounts.revocations import Revocations
from orchestrator_api.events.feed import EventFeed
from orchestrator_api.metrics import EventMetrics
from orchestrator_api.places import Places
from orchestrator_api.running import Service
from orchestrator_api.settings import ProcessSettings
from orchestrator_core.postgres import event_store
from orchestrator_core.postgres.announcing import Announcer
from orchestrator_core.postgres.database import Database
from orchestrator_core.postgres.event_store import EventStore
from orchestrator_core.postgres.listening import Listener


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """What tells clients how their tasks go."""

    feed: EventFeed
    places: Places
    announcer: Announcer
    listener: Listener

    @property
    def services(self) -> Sequence[Service]:
        """What has to run."""
        return (self.feed, self.announcer, self.listener)


def build_watching(
    settings: ProcessSettings,
    database: Database,
    revocations: Revocations,
    metrics: EventMetrics,
    *,
    chance: Random,
) -> Watching:
    """Return the parts; the one connection that listens also hears of ended logins."""
    store = EventStore(database)
    feed = EventFeed(store, metrics)
    places = Places(
        "event streams", total=settings.api.watchers, per_user=settings.api.watchers_per_user
    )
    metrics.tell_watching_by(lambda: places.taken_count)

    def catch_up() -> None:
        feed.wake()
        revocations.note("")

    listener = Listener(
        settings.postgres,
        {event_store.CHANNEL: feed.wake, revoking.CHANNEL: revocations.note},
        application="orchestrator-api-listener",
        chance=chance,
        on_connect=catch_up,
    )
    return Watching(feed=feed, places=places, announcer=Announcer(store), listener=listener)

"""So many may stay, and no more."""

import pytest

from orchestrator_api.errors import RateLimitedError
from orchestrator_api.places import Places
from orchestrator_core.errors import OverloadedError
from orchestrator_core.tasks import UserId

ADA, EVE = UserId(1), UserId(2)


def test_a_user_and_a_process_have_only_so_many_places() -> None:
    places = Places("streams", total=3, per_user=2)

    with places.taking(ADA), places.taking(ADA), places.taking(EVE):
        with pytest.raises(RateLimitedError), places.taking(ADA):
            pass
        with pytest.raises(OverloadedError), places.taking(EVE):
            pass
        taken = places.taken_count
    with places.taking(EVE):
        later = places.taken_count

    assert (taken, later, places.taken_count) == (3, 1, 0)


def test_a_place_is_free_again_however_it_was_left() -> None:
    places = Places("streams", total=1, per_user=1)

    with pytest.raises(RuntimeError, match="broken"), places.taking(ADA):
        raise RuntimeError("broken")

    assert places.taken_count == 0

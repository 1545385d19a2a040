import pytest

from orchestrator_core.accounts import (
    PresentedToken,
    RefreshVerdict,
    judge_refresh,
)


def a_token(**fields: object) -> PresentedToken:
    defaults = {
        "current_generation": 3,
        "presented_generation": 3,
        "seconds_since_rotation": 5.0,
        "is_revoked": False,
        "is_expired": False,
    }
    return PresentedToken(**{**defaults, **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "verdict"),
    [
        ({}, RefreshVerdict.CURRENT),
        ({"seconds_since_rotation": 1e6}, RefreshVerdict.CURRENT),
        ({"presented_generation": 2}, RefreshVerdict.PREDECESSOR),
        ({"presented_generation": 2, "seconds_since_rotation": 20.0}, RefreshVerdict.PREDECESSOR),
        ({"presented_generation": 2, "seconds_since_rotation": 20.1}, RefreshVerdict.REUSED),
        ({"presented_generation": 1, "seconds_since_rotation": 0.0}, RefreshVerdict.REUSED),
        ({"is_revoked": True}, RefreshVerdict.ENDED),
        ({"is_expired": True}, RefreshVerdict.ENDED),
        ({"is_revoked": True, "presented_generation": 1}, RefreshVerdict.ENDED),
    ],
)
def test_a_refresh_token_is_judged_by_its_generation(
    fields: dict[str, object], verdict: RefreshVerdict
) -> None:
    assert judge_refresh(a_token(**fields), grace_seconds=20) is verdict

"""Make the parts that accounts need, and connect them.

Before: ``orchestrator_api.wiring`` has opened the stores.
After: it runs the services; requests find the rest in ``request.state``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from orchestrator_api.accounts.password_policies import build_policy
from orchestrator_api.accounts.passwords import PasswordHasher
from orchestrator_api.accounts.remembering import RememberedUsers
from orchestrator_api.accounts.revocations import Revocations
from orchestrator_api.accounts.service import AccountRules, AccountService
from orchestrator_api.accounts.tokens import AccessTokens, SigningKey
from orchestrator_api.running import Service
from orchestrator_api.settings import ApiSettings
from orchestrator_core.postgres.account_store import AccountStore
from orchestrator_core.redis.cache import Cache


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountParts:
    """What makes accounts and knows who calls."""

    access_tokens: AccessTokens
    accounts: AccountService
    revocations: Revocations
    users: RememberedUsers

    @property
    def services(self) -> Sequence[Service]:
        """What has to run."""
        return (self.revocations, self.users.memory)


def build_account_parts(
    settings: ApiSettings, store: AccountStore, hasher: PasswordHasher, cache: Cache
) -> AccountParts:
    """Return the parts."""
    access_tokens = _build_access_tokens(settings)
    revocations = Revocations(store, lifetime_seconds=settings.access_token_ttl_seconds)
    rules = AccountRules(
        find_password_fault=build_policy(
            settings.password_policy,
            min_length=settings.password_min_length,
            app_name=settings.app_name,
        ),
        refresh_token_ttl_seconds=float(settings.refresh_token_ttl_seconds),
    )
    return AccountParts(
        access_tokens=access_tokens,
        accounts=AccountService(store, hasher, access_tokens, revocations, rules),
        revocations=revocations,
        users=RememberedUsers(store, cache),
    )


def _build_access_tokens(settings: ApiSettings) -> AccessTokens:
    previous = settings.jwt_previous_secret
    return AccessTokens(
        SigningKey.from_secret(settings.jwt_secret.get_secret_value()),
        *([SigningKey.from_secret(previous.get_secret_value())] if previous else []),
        lifetime_seconds=settings.access_token_ttl_seconds,
    )

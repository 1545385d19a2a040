"""Password policies: which new passwords are taken.

``basic`` asks for a length and nothing else, so that every password of the original
service's clients still registers. ``strict`` is what NIST SP 800-63B-4 and OWASP ASVS 6.2
ask of a password that is the only factor: at least 15 characters, none of the common
passwords, nothing that stands in the account itself. Neither asks for kinds of characters.

Before: ``service`` has a wish for a password.
After: the password is hashed, or its fault goes to the client.
"""

import unicodedata
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from typing import Literal

PolicyName = Literal["basic", "strict"]
PasswordPolicy = Callable[[str, str], str | None]
"""Takes a password and its user's name; returns what is wrong with it, for the client, or None."""

STRICT_MIN_LENGTH = 15
"""NIST SP 800-63B-4 section 3.1.1.1: when the password is the single factor."""
_MIN_PIECE_LENGTH = 8
"""A shorter piece, repeated, is no longer to guess than itself."""


def find_min_length(name: PolicyName, min_length: int) -> int:
    """Return how many characters the policy of this name asks for."""
    return max(STRICT_MIN_LENGTH, min_length) if name == "strict" else min_length


def build_policy(name: PolicyName, *, min_length: int, app_name: str) -> PasswordPolicy:
    """Return the policy.

    Args:
        name: which one.
        min_length: in characters; ``strict`` asks for 15 at least.
        app_name: with ``strict``, no password may contain it.
    """
    if name == "basic":
        return lambda password, _: _find_length_fault(password, min_length)
    strict_length, common = find_min_length(name, min_length), _load_common_passwords()

    def find_fault(password: str, username: str) -> str | None:
        return (
            _find_length_fault(password, strict_length)
            or _find_context_fault(password, {"username": username, "service's name": app_name})
            or _find_commonness(password, common)
        )

    return find_fault


def _find_length_fault(password: str, min_length: int) -> str | None:
    if len(password) < min_length:
        return f"must have at least {min_length} characters"
    return None


def _find_context_fault(password: str, context: dict[str, str]) -> str | None:
    folded = _fold(password)
    for name, word in context.items():
        if word and _fold(word) in folded:
            return f"must not contain the {name}"
    return None


def _find_commonness(password: str, common: AbstractSet[str]) -> str | None:
    folded = _fold(password)
    piece = _find_piece(folded)
    if folded in common or piece in common:
        return "must not be one of the most common passwords, nor one of them repeated"
    if len(piece) < _MIN_PIECE_LENGTH:
        return "must not repeat a few characters over and over"
    return None


def _find_piece(text: str) -> str:
    """Return the shortest text that makes ``text`` when repeated; most often itself."""
    return text[: (text + text).find(text, 1)]


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _load_common_passwords() -> AbstractSet[str]:
    # Half a megabyte of words that the basic policy has no use for.
    from zxcvbn.frequency_lists import (  # type: ignore[import-untyped] # noqa: PLC0415 - see above
        FREQUENCY_LISTS,
    )

    words: Iterable[str] = FREQUENCY_LISTS["passwords"]
    return frozenset(_fold(word) for word in words)

"""What several types do with their results.

Before: a handler has facts to report, or writes a file that may grow too large.
After: the worker keeps the result.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from orchestrator_core.attempts import ResultFile
from orchestrator_core.handlers import GiveUpError
from orchestrator_core.tasks import ErrorCode


def to_json_result(facts: Mapping[str, object], *, file_name: str) -> ResultFile:
    """Return facts as a JSON document that people can read, too."""
    return ResultFile(
        content=json.dumps(facts, indent=2).encode(),
        content_type="application/json",
        file_name=file_name,
    )


def require_size(path: Path, max_bytes: int, *, what: str, advice: str) -> None:
    """Refuse a result that has grown too large; for while it is written.

    Args:
        path: of the result, as far as it is written; it need not exist yet.
        max_bytes: it may have.
        what: it is, for the message: ``the video``.
        advice: how to get a smaller one.

    Raises:
        GiveUpError: it has more.
    """
    if path.exists() and path.stat().st_size > max_bytes:
        raise GiveUpError(
            f"{what} takes more than {max_bytes >> 20} MB, which is what is kept of one task:"
            f" ask for {advice}",
            code=ErrorCode.RESULT_TOO_LARGE,
        )

"""One case in one process, without the platform: the handler called again and again.

Before: ``cli`` starts this as a program of its own, as a script of a person's would be.
After: it prints the seconds of each call, the first one left out: that one imports.
"""

import json
import sys
import time
from collections.abc import Sequence

from activities import FixedOwner, a_month
from orchestrator_core.handler_testing import Supplies, run_handler
from orchestrator_core.handlers import Handler, discover_handlers
from tests.bench.types.cases import FILE_ID, Case, find_case


def main(arguments: Sequence[str]) -> None:
    """Call the handler of case ``arguments[0]`` ``arguments[1]`` times and once before."""
    name, count = arguments
    case = find_case(name)
    handler = discover_handlers()[case.task_type]
    seconds = [_call(case, handler) for _ in range(int(count) + 1)]
    sys.stdout.write(json.dumps(seconds[1:]) + "\n")


def _call(case: Case, handler: Handler) -> float:
    files = {} if case.file is None else {FILE_ID: case.file}
    start = time.perf_counter()
    run_handler(
        handler,
        case.task_type,
        case.payload_for(FILE_ID),
        supplies=Supplies(files=files, owners_data=FixedOwner(a_month())),
    )
    return time.perf_counter() - start


if __name__ == "__main__":
    main(sys.argv[1:])

"""The commands behind ``make up``, ``make down`` and ``make -s api-url``.

Before: ``__main__``.
After: ``commands`` does the work; an error becomes a paragraph and an exit status.
"""

import argparse
import sys
from collections.abc import Sequence

import httpx

from hack.stack import commands, exposing, installing
from hack.stack.cluster import find_cluster
from hack.stack.images import IMAGES_VARIABLE
from hack.tooling.errors import ToldError, ToolError, explain

INTERRUPTED = 130

_DESCRIPTION = """\
The whole platform on a cluster of this machine, or on the one that KUBECONFIG names.
`make up`, `make cluster`, `make down`, `make -s kubeconfig`, `make -s api-url` and
`make -s edge-url` are these commands; all may be repeated at any time."""

_EPILOG = f"""\
{IMAGES_VARIABLE} names images that the cluster can pull, as a JSON object, e.g.
'{{"api": "registry.example/api:1", "worker": "registry.example/worker:1",
  "operator": "registry.example/operator:1"}}'; nothing is built then."""


def main(arguments: Sequence[str]) -> int:
    """Run one command; a failure is told in sentences.

    Returns:
        The exit status: 0 done, 1 an error that was explained, 130 interrupted.
    """
    parsed = _build_parser().parse_args(arguments)
    try:
        _run(parsed)
    except ToldError as error:
        return error.status
    except ToolError as error:
        print(explain(error), file=sys.stderr)
    except httpx.HTTPError as error:
        advice = f"look at `kubectl -n {installing.NAMESPACE} get pods`, then run this again"
        failure = ToolError(f"the API did not answer: {error!r}", advice=advice)
        print(explain(failure), file=sys.stderr)
    except KeyboardInterrupt:
        print("\ninterrupted; run the same command again to go on", file=sys.stderr)
        return INTERRUPTED
    else:
        return 0
    return 1


def _run(parsed: argparse.Namespace) -> None:
    match parsed.command:
        case "up":
            commands.up()
        case "prepare":
            commands.prepare()
        case "down":
            commands.down()
        case "run":
            commands.run_with_cluster(parsed.program)
        case "kubeconfig":
            print(find_cluster().kubeconfig)
        case "api-url" | "edge-url":
            print(exposing.service_url(find_cluster(), parsed.command.removesuffix("-url")))


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m hack.stack",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_subparsers(dest="command", metavar="COMMAND", required=True).add_parser
    add("up", help="bring everything up, run tasks, say what to try next")
    add("prepare", help="only cluster, images and operator, without the sample")
    add("down", help="remove what `up` made")
    add("kubeconfig", help="print the path of the kubeconfig")
    add("api-url", help="print the API's address")
    add("edge-url", help="print nginx's address")
    program = add(
        "run", help="run a program with the cluster's kubeconfig, kubectl and helm: run -- PROGRAM"
    )
    program.add_argument("program", nargs="+", metavar="PROGRAM")
    return parser

"""The command line: images for a cluster, built from the checkout, without any registry.

Before: ``__main__``.
After: ``building`` makes archives, the cluster's tool loads them; an error becomes a paragraph.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from hack.images.building import ROOT, Workshop, clean, install_programs
from hack.images.catalogue import IMAGES
from hack.images.engines import is_docker_usable
from hack.images.planning import Builder, PlannedImage, plan, select
from hack.images.snapshots import take_snapshot
from hack.images.store import DEFAULT_DIRECTORY, DIRECTORY_VARIABLE, Store, find_store
from hack.tooling import locking
from hack.tooling.errors import ToolError, explain
from hack.tooling.running import run_attached
from hack.tooling.steps import Progress

BUILDER_VARIABLE = "ORCHESTRATOR_IMAGES_BUILDER"

_DESCRIPTION = """\
Images of this checkout, each named by a hash of what it is made from.

With Docker and a registry our own images are built upon the official Python
image, and clusters pull the stores themselves. Without, buildah makes the
same images upon a base from Debian's packages, and stand-ins for the stores
(root on Linux; the first time takes about 3 minutes on two cores)."""

_EPILOG = f"""\
{DIRECTORY_VARIABLE} names the folder for everything that is kept, by default
{DEFAULT_DIRECTORY} (for other users than root, ~/.cache/{DEFAULT_DIRECTORY.name})."""

_NAMES = (
    f"images to take: {', '.join(one.name for one in IMAGES)}; "
    "without one, all that run in a cluster"
)
_BUILT_JSON = "print names, references and archives as JSON; progress goes to standard error"
_JSON = {
    "build": _BUILT_JSON,
    "load": _BUILT_JSON,
    "list": "print names and references as JSON",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        The exit status: 0 done, 1 an error that was explained, 130 interrupted.
    """
    options = _parse(arguments)
    try:
        _run(options, find_store())
    except ToolError as error:
        print(explain(error), file=sys.stderr)
        return 1
    except PermissionError as error:
        sentence = ToolError(
            f"{error.filename}: {error.strerror}",
            advice=f"run this with sudo, or set {DIRECTORY_VARIABLE} to a folder of your own",
        )
        print(explain(sentence), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    return 0


def choose_builder(asked: str) -> Builder:
    """Take the builder that was asked for, else the one that this machine can use."""
    name = asked or os.environ.get(BUILDER_VARIABLE, "")
    if name and name not in {builder.value for builder in Builder}:
        raise ToolError(
            f"{BUILDER_VARIABLE} is {name!r}", advice="set it to buildah or docker, or unset it"
        )
    if name:
        return Builder(name)
    return Builder.DOCKER if is_docker_usable() else Builder.BUILDAH


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python3 hack/images",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=formatter,
    )
    builder = argparse.ArgumentParser(add_help=False)
    builder.add_argument(
        "--builder",
        choices=[one.value for one in Builder],
        default="",
        help="default: docker where it runs and python:3.13-slim can be had, else buildah",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    helps = {
        "build": "build what is missing",
        "load": "build what is missing and bring it into the cluster",
        "list": "print the references, whether they are built or not",
    }
    for name, help_ in helps.items():
        command = commands.add_parser(name, help=help_, description=help_, parents=[builder])
        command.add_argument("names", nargs="*", metavar="NAME", help=_NAMES)
        command.add_argument("--json", action="store_true", help=_JSON[name])
    help_ = "remove every image and archive that this tool made"
    commands.add_parser("clean", help=help_, description=help_, parents=[builder])
    return parser.parse_args(arguments)


def _run(options: argparse.Namespace, store: Store) -> None:
    builder = choose_builder(options.builder)
    if options.command == "clean":
        with locking.hold(store.lock, "removing images", say=print):
            clean(store, builder)
        return
    if options.command == "list":
        _print_references(select(plan(builder, ROOT), options.names), as_json=options.json)
        return
    # With JSON on standard output, progress has to go elsewhere.
    stream = sys.stderr if options.json else sys.stdout
    chosen = _build(options.names, builder, store, Progress(store.logs, stream=stream))
    if options.command == "load":
        _load([store.archive(one.reference) for one in chosen if one.is_built], stream)
    if options.json:
        _print_built(chosen, store)


def _build(
    names: Sequence[str], builder: Builder, store: Store, progress: Progress
) -> list[PlannedImage]:
    if builder is Builder.BUILDAH and os.geteuid() != 0:
        raise ToolError(
            "building without Docker needs root: it unpacks packages and mounts layers",
            advice="run this with sudo, or with --builder docker where Docker runs",
        )
    with locking.hold(store.lock, "building images", say=progress.say):
        snapshot = take_snapshot(IMAGES, ROOT, store.snapshot)
        planned = plan(builder, snapshot)
        chosen = select(planned, names)
        install_programs(builder, progress)
        workshop = Workshop(
            planned, builder=builder, store=store, snapshot=snapshot, progress=progress
        )
        workshop.provide(chosen)
        return chosen


def _load(archives: Sequence[Path], stream: TextIO) -> None:
    if not archives:
        print("nothing to load: the cluster pulls these images itself", file=stream)
        return
    # A process of its own: the cluster's tool has its own lock and state.
    command = [sys.executable, "-m", "hack.cluster", "load", *map(str, archives)]
    if not run_attached(command, cwd=ROOT, stdout=stream).is_success:
        raise ToolError("the images are built, but not in the cluster", advice="see above")


def _print_references(chosen: Sequence[PlannedImage], *, as_json: bool) -> None:
    references = {one.image.name: one.reference for one in chosen}
    if as_json:
        print(json.dumps(references, indent=1))
        return
    for name, reference in references.items():
        print(f"{name:<12} {reference}")


def _print_built(chosen: Sequence[PlannedImage], store: Store) -> None:
    built = [one for one in chosen if one.is_built]
    print(
        json.dumps(
            {
                "images": {one.image.name: one.reference for one in chosen},
                "archives": {one.image.name: str(store.archive(one.reference)) for one in built},
            },
            indent=1,
        )
    )

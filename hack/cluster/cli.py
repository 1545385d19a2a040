"""The command line: one cluster for development and tests, brought up, used, taken down.

Before: ``__main__``.
After: a ``Provider`` does the work; an error becomes a paragraph and exit status 1.
"""

import argparse
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from hack.cluster import choosing, tools
from hack.cluster.layouts import DEFAULT_DIRECTORY, DIRECTORY_VARIABLE, Layout
from hack.cluster.providers import Extent
from hack.tooling import locking
from hack.tooling.errors import ToolError, explain
from hack.tooling.steps import Progress

_DESCRIPTION = """\
A Kubernetes cluster for development and tests.

`up` takes the cluster that KUBECONFIG names if it is set; else kind, where
Docker runs and kind's node image can be had; else it makes a node of this
machine's own processes, built from pinned Go modules, without any registry
(root on Linux; the first time takes about 10 minutes on two cores)."""

_EPILOG = f"""\
{DIRECTORY_VARIABLE} names the folder for everything that is kept, by default
{DEFAULT_DIRECTORY} (for other users than root,
~/.local/state/orchestrator-cluster). Several clones share it."""


def main(arguments: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run one command.

    Returns:
        The exit status: 0 done, 1 an error that was explained, 130 interrupted.
    """
    options = build_parser().parse_args(arguments)
    try:
        return int(options.run(options, Layout(find_directory(environ)), environ))
    except ToolError as error:
        print(explain(error), file=sys.stderr)
    except PermissionError as error:
        sentence = ToolError(
            f"{error.filename}: {error.strerror}",
            advice=f"run this with sudo, or set {DIRECTORY_VARIABLE} to a folder of your own",
        )
        print(explain(sentence), file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        return 130
    return 1


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="python3 hack/cluster",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=formatter,
    )
    parser.add_argument(
        "--provider", choices=choosing.NAMES, help="which kind of cluster; default: see above"
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, help_: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=help_, description=help_)

    add("up", "bring the cluster up, or repair what is missing").set_defaults(run=_up)
    down = add("down", "end what up started; resources and volumes come back at the next up")
    extent = down.add_mutually_exclusive_group()
    extent.add_argument(
        "--reset", action="store_true", help="also remove resources, volumes and images"
    )
    extent.add_argument(
        "--purge", action="store_true", help="likewise, and remove built programs and logs"
    )
    down.set_defaults(run=_down)
    load = add("load", "bring images into the cluster; what is there already is skipped")
    load.add_argument(
        "archives",
        nargs="+",
        type=Path,
        metavar="ARCHIVE",
        help="a docker-archive, as `docker save` and `buildah push` write it",
    )
    load.set_defaults(run=_load)
    add("status", "say how the cluster is; exits with 0 if it can be used").set_defaults(
        run=_status
    )
    logs = add("logs", "show the log of one of its processes; without a name, list the logs")
    logs.add_argument(
        "component", nargs="?", metavar="COMPONENT", help="its name, as `logs` and `status` list it"
    )
    logs.add_argument("-f", "--follow", action="store_true", help="go on as it grows")
    logs.set_defaults(run=_logs)
    add("kubeconfig", "print the path of its kubeconfig").set_defaults(run=_kubeconfig)
    add("provider", "print which kind it is: existing, kind, local, or none").set_defaults(
        run=_provider
    )
    tool = add("tool", "print the path of a program, building it where it is missing")
    tool.add_argument("name", choices=tools.NAMES, metavar="|".join(tools.NAMES))
    tool.set_defaults(run=_tool)
    return parser


def find_directory(environ: Mapping[str, str]) -> Path:
    """Find the folder for everything that is kept."""
    if given := environ.get(DIRECTORY_VARIABLE):
        return Path(given).expanduser().absolute()
    if os.geteuid() == 0:
        return DEFAULT_DIRECTORY
    state = environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / DEFAULT_DIRECTORY.name


def _up(options: argparse.Namespace, layout: Layout, environ: Mapping[str, str]) -> int:
    progress = Progress(layout.logs)
    with locking.hold(layout.root / "lock", "bringing the cluster up", say=progress.say):
        provider = choosing.choose_provider(options.provider, layout, environ, progress)
        provider.check()
        # From here on something may be made, and `down` must know of what kind.
        choosing.remember(provider, layout)
        provider.up(progress)
    progress.say(f"the cluster is up: export KUBECONFIG={provider.kubeconfig}")
    return 0


def _down(options: argparse.Namespace, layout: Layout, environ: Mapping[str, str]) -> int:
    extent = Extent.PROCESSES
    if options.reset or options.purge:
        extent = Extent.EVERYTHING if options.purge else Extent.DATA
    progress = Progress(layout.logs)
    with locking.hold(layout.root / "lock", "taking the cluster down", say=progress.say):
        if choosing.find_name(options.provider, layout, environ) is None:
            progress.say("there is no cluster to take down")
        else:
            provider = choosing.find_provider(options.provider, layout, environ, progress)
            provider.down(progress, extent)
        if extent is not Extent.PROCESSES:
            choosing.forget(layout)
    if extent is Extent.EVERYTHING:
        _purge(layout)
    return 0


def _purge(layout: Layout) -> None:
    # Only what this tool made, by name: the folder may have been somebody's home.
    for folder in (layout.store, layout.logs.parent, layout.processes):
        shutil.rmtree(folder, ignore_errors=True)
    (layout.root / "lock").unlink(missing_ok=True)
    if not any(layout.root.iterdir()):
        layout.root.rmdir()


def _load(options: argparse.Namespace, layout: Layout, environ: Mapping[str, str]) -> int:
    progress = Progress(layout.logs)
    choosing.find_provider(options.provider, layout, environ, progress).load(
        options.archives, progress
    )
    return 0


def _status(options: argparse.Namespace, layout: Layout, environ: Mapping[str, str]) -> int:
    provider = choosing.find_provider(options.provider, layout, environ, _quiet(layout))
    status = provider.observe_status()
    print(f"{'provider':<12} {provider.name}")
    print("\n".join(status.lines))
    print(f"{'kubeconfig':<12} {provider.kubeconfig}")
    if status.is_usable:
        return 0
    print("run `python3 hack/cluster up` to bring it up or to repair it", file=sys.stderr)
    return 1


def _logs(options: argparse.Namespace, layout: Layout, environ: Mapping[str, str]) -> int:
    logs = choosing.find_provider(options.provider, layout, environ, _quiet(layout)).list_logs()
    if options.component is None:
        print("\n".join(f"{name:<12} {path}" for name, path in logs.items()))
        return 0
    if options.component not in logs:
        known = ", ".join(logs) or "none on this machine"
        raise ToolError(f"there is no log of {options.component}", advice=f"there are: {known}")
    follow = ["--follow=name", "--retry"] if options.follow else []
    command = ["tail", "--lines=200", *follow, str(logs[options.component])]
    return subprocess.run(command, check=False).returncode


def _kubeconfig(options: argparse.Namespace, layout: Layout, environ: Mapping[str, str]) -> int:
    print(choosing.find_provider(options.provider, layout, environ, _quiet(layout)).kubeconfig)
    return 0


def _provider(options: argparse.Namespace, layout: Layout, environ: Mapping[str, str]) -> int:
    print(choosing.find_name(options.provider, layout, environ) or "none")
    return 0


def _tool(options: argparse.Namespace, layout: Layout, environ: Mapping[str, str]) -> int:
    del environ
    print(tools.find_tool(options.name, layout, _quiet(layout)))
    return 0


def _quiet(layout: Layout) -> Progress:
    """Progress beside an answer that a script reads."""
    return Progress(layout.logs, stream=sys.stderr)

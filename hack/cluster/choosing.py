"""Which cluster is meant.

In this order: what ``--provider`` says; the cluster that KUBECONFIG names, unless that is our
own; the one that the last ``up`` made; kind, where Docker and its node image can be had; else
the local node.

Before: ``cli``.
After: one ``Provider``; the choice is remembered for ``down``, ``load`` and ``status``.
"""

from collections.abc import Mapping
from pathlib import Path

from hack.cluster import kinds, tools
from hack.cluster.existing import ExistingCluster
from hack.cluster.kinds import KindCluster
from hack.cluster.layouts import Layout
from hack.cluster.nodes import LocalNode
from hack.cluster.providers import Provider
from hack.tooling.errors import ToolError
from hack.tooling.steps import Progress

NAMES = ("existing", "kind", "local")


def find_provider(
    requested: str | None, layout: Layout, environ: Mapping[str, str], progress: Progress
) -> Provider:
    """Find the cluster that a command other than ``up`` is about.

    Raises:
        ToolError: there is none yet.
    """
    name = find_name(requested, layout, environ)
    if name is None:
        raise ToolError("there is no cluster yet", advice="run `python3 hack/cluster up`")
    return _make(name, layout, environ, progress)


def find_name(requested: str | None, layout: Layout, environ: Mapping[str, str]) -> str | None:
    """Say of which kind the cluster is, as in ``--provider``; nothing when there is none yet."""
    return requested or _find_given(layout, environ) or _recall(layout)


def choose_provider(
    requested: str | None, layout: Layout, environ: Mapping[str, str], progress: Progress
) -> Provider:
    """Choose the cluster to bring up.

    Raises:
        ToolError: another kind of cluster is there already.
    """
    name = requested or _find_given(layout, environ) or _recall(layout) or _discover(progress)
    before = _recall(layout)
    if name != "existing" and before not in (None, name):
        raise ToolError(
            f"this machine's cluster is of the kind `{before}`, not `{name}`",
            advice="run `python3 hack/cluster down --reset` first; both keep the same kubeconfig",
        )
    return _make(name, layout, environ, progress)


def remember(provider: Provider, layout: Layout) -> None:
    """Remember the choice, unless it is made anew each time by KUBECONFIG."""
    if provider.name != "existing":
        _memory(layout).write_text(provider.name, encoding="ascii")


def forget(layout: Layout) -> None:
    """Forget the choice, so that the next ``up`` looks afresh."""
    _memory(layout).unlink(missing_ok=True)


def find_kubeconfig(environ: Mapping[str, str]) -> Path | None:
    """Read KUBECONFIG; of a list, its first file."""
    first = environ.get("KUBECONFIG", "").split(":")[0]
    return Path(first).expanduser().absolute() if first else None


def _find_given(layout: Layout, environ: Mapping[str, str]) -> str | None:
    # `export KUBECONFIG=$(python3 hack/cluster kubeconfig)` must not turn our own cluster into a
    # stranger's.
    given = find_kubeconfig(environ)
    return "existing" if given and given != layout.kubeconfig.absolute() else None


def _recall(layout: Layout) -> str | None:
    memory = _memory(layout)
    name = memory.read_text(encoding="ascii").strip() if memory.exists() else None
    return name if name in NAMES else None


def _discover(progress: Progress) -> str:
    if kinds.is_docker_running() and kinds.can_have_image(progress):
        return "kind"
    return "local"


def _make(name: str, layout: Layout, environ: Mapping[str, str], progress: Progress) -> Provider:
    if name == "local":
        return LocalNode(layout)
    if name == "kind":
        return KindCluster(layout)
    kubeconfig = find_kubeconfig(environ) or Path("~/.kube/config").expanduser()
    kubectl = tools.find_tool("kubectl", layout, progress)
    return ExistingCluster(kubeconfig, str(kubectl))


def _memory(layout: Layout) -> Path:
    return layout.root / "provider"

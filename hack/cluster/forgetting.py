"""Removing images of this project that nothing needs any more from the local node.

Every edit makes an image of another name, and the kubelet is told to leave images alone, since
most could not be pulled again. A day of work would fill the disk. A worker that is scaled to zero
has no container, so what workloads name counts as needed, not only what runs.

Before: ``nodes`` has loaded images.
After: containerd has, of each of them, the few that were loaded last and all that are needed.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hack.cluster import images
from hack.cluster.apiservers import ApiServer
from hack.cluster.layouts import Layout
from hack.tooling.steps import Progress

OWN_PREFIX = "localhost/orchestrator/"
KEPT_IMAGES = 3
"""Of each name: enough to go back and forth between two branches."""

_WORKLOADS = (
    "/api/v1/pods",
    "/apis/apps/v1/deployments",
    "/apis/apps/v1/statefulsets",
    "/apis/apps/v1/daemonsets",
    "/apis/batch/v1/jobs",
    "/apis/batch/v1/cronjobs",
)
"""The operator's Deployment also names, in its environment, what it will make."""

_REFERENCE = re.compile(re.escape(OWN_PREFIX) + r"[a-z0-9._/-]+:[A-Za-z0-9._-]+")


def forget_old(loaded: Sequence[str], layout: Layout, api: ApiServer, progress: Progress) -> None:
    """Remove what is neither needed nor among the last of its name.

    Args:
        loaded: what has just been loaded, oldest first.
        layout: where the order of all loads is kept, beside containerd's data.
        api: asked what workloads name; without an answer nothing is removed.
        progress: shows the removal, if there is any.
    """
    own = [name for name in loaded if name.startswith(OWN_PREFIX)]
    if not own:
        return
    present = images.list_images(layout)
    order = _remember(own, present, layout.data / "loaded-images")
    named = _find_named(api)
    if named is None:
        return
    used = named | images.list_used(layout)
    old = choose_old(present, order=order, used=used)
    if old:
        with progress.step("removing images that nothing uses any more") as step:
            images.remove(with_ids(old, present), layout)
            step.note = str(len(old))


def choose_old(present: Mapping[str, str], *, order: Sequence[str], used: set[str]) -> list[str]:
    """Choose the images to remove, sorted.

    Args:
        present: containerd's references to digests.
        order: references as they were last loaded, oldest first; one that is missing is older.
        used: references that a container or a workload names.
    """
    age = {reference: position for position, reference in enumerate(order)}
    by_name: dict[str, list[str]] = {}
    for reference in present:
        if reference.startswith(OWN_PREFIX):
            by_name.setdefault(reference.rpartition(":")[0], []).append(reference)
    beyond = [
        reference
        for references in by_name.values()
        for reference in sorted(references, key=lambda one: age.get(one, -1))[:-KEPT_IMAGES]
    ]
    return sorted(set(beyond) - used)


def with_ids(old: Iterable[str], present: Mapping[str, str]) -> list[str]:
    """Add the ids (``sha256:…``) that would keep the content, unless it has another name still."""
    removed = set(old)
    kept_digests = {
        digest
        for reference, digest in present.items()
        if reference not in removed and not reference.startswith("sha256:")
    }
    digests = {present[reference] for reference in removed} - kept_digests
    ids = {name for name, digest in present.items() if name.startswith("sha256:")}
    return sorted(removed | {name for name in ids if present[name] in digests})


def _remember(loaded: Sequence[str], present: Mapping[str, str], record: Path) -> list[str]:
    before = record.read_text(encoding="utf-8").split() if record.exists() else []
    order = [name for name in before if name in present and name not in loaded] + list(loaded)
    partial = record.with_suffix(".partial")
    partial.write_text("\n".join(order), encoding="utf-8")
    partial.replace(record)
    return order


def _find_named(api: ApiServer) -> set[str] | None:
    named: set[str] = set()
    for path in _WORKLOADS:
        answer = api.get(path)
        if answer is None:
            return None
        named.update(_REFERENCE.findall(json.dumps(answer)))
    return named

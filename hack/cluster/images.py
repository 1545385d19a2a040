"""Images in the local node's containerd.

Before: ``nodes`` brings its own two images and those that users load.
After: the kubelet finds them by name.
"""

from collections.abc import Sequence
from pathlib import Path

from hack.cluster import archives
from hack.cluster.archives import ArchivedImage
from hack.cluster.layouts import Layout
from hack.tooling.running import probe, run
from hack.tooling.steps import Progress

_IMPORT_SECONDS = 600.0
_DEFAULT_REGISTRY = "docker.io"


def load_archive(archive: Path, layout: Layout, progress: Progress) -> list[str]:
    """Import an archive unless containerd has just these images under these names already.

    Returns:
        The names, in full.
    """
    images = archives.read_images(archive)
    names = [normalize(name) for image in images for name in image.names]
    # Without the key: one log and one usual time for all versions of an image.
    shown = ", ".join(name.rpartition(":")[0] for name in names) or archive.name
    with progress.step(f"loading {shown}") as step:
        if are_loaded(images, list_images(layout)):
            step.skip("is there")
        else:
            step.run(
                [*_ctr(layout), "images", "import", str(archive.resolve())],
                timeout_seconds=_IMPORT_SECONDS,
            )
    return names


def are_loaded(images: tuple[ArchivedImage, ...], present: dict[str, str]) -> bool:
    """Say whether containerd has the images under their names.

    Args:
        images: what an archive holds.
        present: containerd's references to digests of manifests. Its image service adds one
            reference per image named by the digest of the configuration.
    """
    return all(
        image.names
        and image.config_digest in present
        and all(
            present.get(normalize(name)) == present[image.config_digest] for name in image.names
        )
        for image in images
    )


def normalize(name: str) -> str:
    """Write an image's name in full, as the container runtime keeps it.

    The first part is a registry only if it looks like a host ("localhost", a dot or a port).
    """
    first, _, rest = name.partition("/")
    if rest and (first == "localhost" or "." in first or ":" in first):
        return name
    return f"{_DEFAULT_REGISTRY}/{name}" if rest else f"{_DEFAULT_REGISTRY}/library/{name}"


def remove_containers(layout: Layout) -> bool:
    """Delete containerd's records of containers, which no process stands behind any more.

    Returns:
        True if there were any: containerd must then be restarted to forget them.
    """
    names = run([*_ctr(layout), "containers", "list", "--quiet"]).output.split()
    if names:
        run([*_ctr(layout), "containers", "delete", *names], timeout_seconds=_IMPORT_SECONDS)
    return bool(names)


def list_images(layout: Layout) -> dict[str, str]:
    """List containerd's references with the digests that they stand for."""
    listed = probe([*_ctr(layout), "images", "list"])
    rows = [line.split() for line in listed.output.splitlines()[1:]]
    return {row[0]: row[2] for row in rows}


def list_used(layout: Layout) -> set[str]:
    """List the references that containers were made from, running or not."""
    listed = run([*_ctr(layout), "containers", "list"]).output
    return {line.split()[1] for line in listed.splitlines()[1:]}


def remove(references: Sequence[str], layout: Layout) -> None:
    """Remove references; containerd then collects the content that has none left."""
    if references:
        command = [*_ctr(layout), "images", "remove", *references]
        run(command, timeout_seconds=_IMPORT_SECONDS)


def _ctr(layout: Layout) -> list[str]:
    return ["ctr", f"--address={layout.containerd_socket}", "--namespace=k8s.io"]

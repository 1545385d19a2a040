"""The programs that turn a Dockerfile into an image: buildah without a registry, Docker with one.

Before: ``building`` has a context ready and knows every base.
After: the image is in the engine's storage, and in an archive that any runtime can import.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hack.images.planning import NAMESPACE
from hack.images.store import Store
from hack.tooling.errors import CommandError
from hack.tooling.running import probe, run
from hack.tooling.steps import Step

BUILD_SECONDS = 1800.0
SAVE_SECONDS = 300.0
PULL_SECONDS = 120.0
ASK_SECONDS = 20.0

KEPT_LAYERS = 400
"""A build leaves three, of some hundred kilobytes. Beyond that all that no image needs goes, at the
price of installing dependencies once more (about 15 s an image)."""

_ANY_BASE = "python:3.13-slim"
"""If this one can be had, so can the others."""

_WAYS_TO_AN_INDEX = ("/etc/resolv.conf", "/etc/ssl/certs", "/etc/pip.conf")
"""Host names, certificates and pip's own settings, for a mirror or a proxy in between."""

_ADVICE = "if the log speaks of the network, see whether `pip download pip` works on this machine"


@dataclass(frozen=True)
class Recipe:
    """One run of a Dockerfile."""

    reference: str
    dockerfile: Path
    context: Path
    arguments: Mapping[str, str]
    uses_index: bool
    """It installs from a package index, and reaches it the way this machine does."""


class Engine(Protocol):
    """What ``building`` asks of either program."""

    def list_images(self) -> set[str]:
        """References of the images in its storage."""

    def build(self, recipe: Recipe, step: Step) -> None:
        """Build a Dockerfile and name the image."""

    def save(self, reference: str, archive: Path, step: Step) -> None:
        """Write a docker-archive."""

    def forget(self, reference: str) -> None:
        """Remove an image from its storage, if it is there."""

    def tidy(self) -> None:
        """Bound what past builds have left in its storage."""

    def remove_all(self) -> None:
        """Remove all images that this tool made."""


class Buildah:
    """Builds as root with this machine's kernel alone: no daemon, no namespaces, no registry."""

    def __init__(self, store: Store) -> None:
        self._command = ["buildah", f"--root={store.storage}", f"--runroot={store.run}"]
        store.cache.mkdir(parents=True, exist_ok=True)
        self._env = {
            "STORAGE_DRIVER": "overlay",
            "BUILDAH_ISOLATION": "chroot",
            # Below it buildah keeps what Dockerfiles mount as caches.
            "TMPDIR": str(store.cache),
        }

    def list_images(self) -> set[str]:
        """See ``Engine``."""
        answer = run([*self._command, "images", "--json"], env=self._env).output
        return {name for image in json.loads(answer) or [] for name in image.get("names") or []}

    def build(self, recipe: Recipe, step: Step) -> None:
        """See ``Engine``."""
        command = [
            *self._command,
            "build",
            "--layers",
            "--force-rm",
            "--pull-never",
            "--network=host",
        ]
        for path in _WAYS_TO_AN_INDEX if recipe.uses_index else ():
            command += [f"--volume={path}:{path}:ro"] if Path(path).exists() else []
        command += [f"--build-arg={name}={value}" for name, value in recipe.arguments.items()]
        command += [f"--file={recipe.dockerfile}", f"--tag={recipe.reference}", str(recipe.context)]
        try:
            step.run(command, timeout_seconds=BUILD_SECONDS, env=self._env)
        except CommandError as error:
            error.advice = _ADVICE
            raise

    def save(self, reference: str, archive: Path, step: Step) -> None:
        """See ``Engine``."""
        command = [*self._command, "push", "--quiet", reference]
        step.run(
            [*command, f"docker-archive:{archive}:{reference}"],
            timeout_seconds=SAVE_SECONDS,
            env=self._env,
        )

    def forget(self, reference: str) -> None:
        """See ``Engine``."""
        probe([*self._command, "rmi", reference], env=self._env)

    def tidy(self) -> None:
        """See ``Engine``."""
        unnamed = run([*self._command, "images", "--all", "--quiet"], env=self._env).output
        if len(unnamed.split()) > KEPT_LAYERS:
            probe([*self._command, "rmi", "--prune"], env=self._env, timeout_seconds=SAVE_SECONDS)

    def start_empty(self) -> tuple[str, Path]:
        """Make a container with nothing in it; returns its id and its folder."""
        container = self._ask("from", "scratch")
        return container, Path(self._ask("mount", container))

    def commit(self, container: str, reference: str, step: Step) -> None:
        """Make an image of a container."""
        command = [*self._command, "commit", "--quiet", container, reference]
        step.run(command, timeout_seconds=SAVE_SECONDS, env=self._env)

    def remove(self, container: str) -> None:
        """Remove a container, mounted or not."""
        probe([*self._command, "rm", container], env=self._env)

    def remove_all(self) -> None:
        """See ``Engine``: the storage is this tool's own."""
        probe([*self._command, "rm", "--all"], env=self._env, timeout_seconds=SAVE_SECONDS)
        probe(
            [*self._command, "rmi", "--all", "--force"], env=self._env, timeout_seconds=SAVE_SECONDS
        )

    def _ask(self, *words: str) -> str:
        return run([*self._command, *words], env=self._env).output.strip()


class Docker:
    """Builds with the Docker daemon, which pulls the official bases by itself."""

    def list_images(self) -> set[str]:
        """See ``Engine``."""
        listed = run(["docker", "image", "ls", "--format={{.Repository}}:{{.Tag}}"]).output
        return set(listed.split())

    def build(self, recipe: Recipe, step: Step) -> None:
        """See ``Engine``."""
        command = ["docker", "build", f"--file={recipe.dockerfile}", f"--tag={recipe.reference}"]
        command += [f"--build-arg={name}={value}" for name, value in recipe.arguments.items()]
        step.run(
            [*command, str(recipe.context)],
            timeout_seconds=BUILD_SECONDS,
            env={"DOCKER_BUILDKIT": "1"},
        )

    def save(self, reference: str, archive: Path, step: Step) -> None:
        """See ``Engine``."""
        step.run(["docker", "save", f"--output={archive}", reference], timeout_seconds=SAVE_SECONDS)

    def forget(self, reference: str) -> None:
        """See ``Engine``."""
        probe(["docker", "image", "rm", reference])

    def tidy(self) -> None:
        """See ``Engine``: Docker collects its own garbage."""

    def remove_all(self) -> None:
        """See ``Engine``."""
        for reference in self.list_images():
            if reference.startswith(f"{NAMESPACE}/"):
                self.forget(reference)


def is_docker_usable() -> bool:
    """Say whether a Docker daemon answers and can get the official Python image."""
    if os.environ.get("DOCKER_HOST", "") == "" and not Path("/var/run/docker.sock").exists():
        return False
    try:
        if not probe(["docker", "info"], timeout_seconds=ASK_SECONDS).is_success:
            return False
        if probe(["docker", "image", "inspect", _ANY_BASE]).is_success:
            return True
        return probe(
            ["docker", "pull", "--quiet", _ANY_BASE], timeout_seconds=PULL_SECONDS
        ).is_success
    except CommandError:
        # Too slow to be of use; buildah needs no registry.
        return False

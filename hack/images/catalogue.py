"""Which images there are, what each is made from, and what each stands in for.

An image is an ordinary Dockerfile plus the files it may copy. Those files are its whole build
context and its whole key, so that nothing can be in an image that its name does not account for.

Before: nothing; this is the list that a person edits to add an image.
After: ``planning`` gives each image its key, ``building`` makes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

NOTHING: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Image:
    """One image and how to make it; paths are relative to the repository's root."""

    name: str
    dockerfile: str
    inputs: tuple[str, ...]
    """Files and folders that the key covers; those under ``context`` are the build's context."""
    context: str = "."
    bases: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    """Build argument to the name of the image in this catalogue that it receives."""
    packages: str = ""
    """A list of Debian packages, unpacked into an image that the build argument ROOT receives."""
    program: str = ""
    """A program of the cluster's tool that is put into the context."""
    official: str = ""
    """The published image that this one stands in for; where it can be pulled, it is used."""
    is_deployed: bool = True
    """Runs in a cluster; the others are only built upon."""
    usual_seconds: float = 20

    @property
    def paths(self) -> list[str]:
        """Everything that it is made from, each path once."""
        return sorted({self.dockerfile, self.packages, *self.inputs} - {""})


BASE = "python-base"
DEMO_WORKER = "demo-worker"
MAIL = "mailpit"
"""A mail server beside the sample, no part of the platform."""
BUCKET = "versitygw"
"""An S3 server for end-to-end tests, no part of the platform either."""


def _stand_in(name: str, official: str, *, is_deployed: bool = True, seconds: float) -> Image:
    folder = f"hack/images/{name}"
    return Image(
        name,
        dockerfile=f"{folder}/Dockerfile",
        inputs=(folder,),
        context=folder,
        packages=f"{folder}/packages",
        official=official,
        is_deployed=is_deployed,
        usual_seconds=seconds,
    )


def _program(name: str, official: str, *, is_deployed: bool = True) -> Image:
    folder = f"hack/images/{name}"
    return Image(
        name,
        dockerfile=f"{folder}/Dockerfile",
        inputs=(folder, f"hack/cluster/sources/{name}"),
        context=folder,
        program=name,
        official=official,
        is_deployed=is_deployed,
        usual_seconds=2,
    )


def _member(name: str, *, seconds: float, more: tuple[str, ...] = (), **bases: str) -> Image:
    sources = [f"{part}/{kind}" for part in ("core", name) for kind in ("pyproject.toml", "src")]
    return Image(
        name,
        dockerfile=f"{name}/Dockerfile",
        inputs=(
            f"{name}/Dockerfile",
            "requirements/build.txt",
            f"requirements/{name}.txt",
            *sources,
            *more,
        ),
        bases={"BASE": BASE, **bases},
        usual_seconds=seconds,
    )


IMAGES = (
    _stand_in(BASE, "python:3.13-slim", is_deployed=False, seconds=14),
    _stand_in("postgres", "postgres:17", seconds=20),
    _stand_in("redis", "redis:8", seconds=11),
    _stand_in("rabbitmq", "rabbitmq:4-management", seconds=18),
    _stand_in("nginx", "nginx:1.28", seconds=9),
    _program("migrate", "migrate/migrate:v4.20.1", is_deployed=False),
    _program(MAIL, "axllent/mailpit:v1.33.1"),
    _program(BUCKET, "versity/versitygw:v1.8.0"),
    _member("api", seconds=20, more=("migrations",), MIGRATE_IMAGE="migrate"),
    _member("worker", seconds=14),
    _member("operator", seconds=30),
    Image(
        DEMO_WORKER,
        dockerfile="hack/samples/demo-tasks/Dockerfile",
        inputs=("hack/samples/demo-tasks",),
        context="hack/samples/demo-tasks",
        bases={"WORKER_IMAGE": "worker"},
        usual_seconds=12,
    ),
)
"""Each image comes after those that it is built upon."""

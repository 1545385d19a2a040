"""Programs that are built here from pinned Go modules, kept by the content they come from.

The folder of a build is named by a hash of its sources and flags: the same sources are found
again in a millisecond, by any clone of the repository; others get a folder of their own. A
build that was interrupted leaves nothing behind that could be taken for a program.

Before: ``components`` and ``tools`` ask for a program by name.
After: the path of an executable in the store.
"""

import contextlib
import hashlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from hack.cluster.layouts import SOURCES, Layout
from hack.tooling import locking, packages
from hack.tooling.errors import CommandError, ToolError
from hack.tooling.running import run
from hack.tooling.steps import Progress

KUBERNETES_VERSION = "v1.34.4"
"""The last minor version whose kubelet still runs on cgroup v1 without being asked to."""

_BUILD_SECONDS = 3600.0
_KEPT_BUILDS = 2
"""Per program: two branches side by side do not rebuild for each other."""

_GO_MINIMUM = (1, 21)
"""From here on `go` fetches the very toolchain that a module asks for."""


@dataclass(frozen=True)
class Build:
    """One program: a folder of sources and how to build it."""

    name: str
    package: str = "."
    """What to build: this folder, or a command of a module it requires."""
    link_flags: str = ""
    tags: str = ""
    usual_seconds: float = 60


_VERSION_PACKAGE = "k8s.io/component-base/version"
_KUBERNETES_STAMP = (
    f"-X {_VERSION_PACKAGE}.gitVersion={KUBERNETES_VERSION} "
    f"-X {_VERSION_PACKAGE}.gitMajor=1 -X {_VERSION_PACKAGE}.gitMinor=34"
)

_HELM = "helm.sh/helm/v3"
# Helm's own make says the Kubernetes version of its modules; without it `helm template` claims
# 1.20, and a chart that asks for more is refused.
_HELM_STAMP = (
    f"-X {_HELM}/internal/version.version=v3.22.0 "
    f"-X {_HELM}/pkg/lint/rules.k8sVersionMajor=1 -X {_HELM}/pkg/lint/rules.k8sVersionMinor=37 "
    f"-X {_HELM}/pkg/chartutil.k8sVersionMajor=1 -X {_HELM}/pkg/chartutil.k8sVersionMinor=37"
)

KUBERNETES = Build("kubernetes", link_flags=_KUBERNETES_STAMP, usual_seconds=295)
COREDNS = Build("coredns", usual_seconds=55)
KUBE_ROUTER = Build(
    "kube-router",
    "github.com/cloudnativelabs/kube-router/v2/cmd/kube-router",
    link_flags="-X github.com/cloudnativelabs/kube-router/v2/pkg/version.Version=v2.1.0",
    usual_seconds=95,
)
PAUSE = Build("pause", usual_seconds=5)
KUBECTL = Build("kubectl", link_flags=_KUBERNETES_STAMP, usual_seconds=95)
HELM = Build(
    "helm",
    "helm.sh/helm/v3/cmd/helm",
    link_flags=_HELM_STAMP,
    usual_seconds=120,
)
MIGRATE = Build(
    "migrate",
    "github.com/golang-migrate/migrate/v4/cmd/migrate",
    link_flags="-X main.Version=4.20.1",
    tags="postgres",
    usual_seconds=20,
)
MAILPIT = Build("mailpit", "github.com/axllent/mailpit", usual_seconds=80)
VERSITYGW = Build("versitygw", "github.com/versity/versitygw/cmd/versitygw", usual_seconds=60)
JAEGER = Build(
    "jaeger",
    "github.com/jaegertracing/jaeger/cmd/all-in-one",
    link_flags="-X github.com/jaegertracing/jaeger/pkg/version.latestVersion=v1.76.0",
    usual_seconds=240,
)
KIND = Build("kind", "sigs.k8s.io/kind", usual_seconds=20)

NODE_BUILDS = (KUBERNETES, KUBE_ROUTER, COREDNS, PAUSE)


def hash_content(build: Build, sources: Path = SOURCES) -> str:
    """Hash what determines a program: its flags and every file of its folder.

    Returns:
        12 hexadecimal digits.
    """
    digest = hashlib.sha256(repr((build.package, build.link_flags, build.tags)).encode())
    digest.update(os.uname().machine.encode())
    for path in sorted((sources / build.name).rglob("*")):
        if path.is_file():
            digest.update(f"\0{path.relative_to(sources)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def find_built(build: Build, layout: Layout, sources: Path = SOURCES) -> Path | None:
    """Find a program in the store; nothing when it has yet to be built."""
    program = layout.store / f"{build.name}-{hash_content(build, sources)}" / build.name
    return program if os.access(program, os.X_OK) else None


def build_program(
    build: Build, layout: Layout, progress: Progress, *, sources: Path = SOURCES
) -> Path:
    """Return a program, building it first where the store has not got it.

    Raises:
        ToolError: there is no Go, or the build failed.
    """
    found = find_built(build, layout, sources)
    if found:
        os.utime(found.parent)
        return found
    lock = layout.store / f"{build.name}.lock"
    with locking.hold(lock, f"building {build.name}", say=progress.say):
        return find_built(build, layout, sources) or _compile(build, layout, progress, sources)


def _compile(build: Build, layout: Layout, progress: Progress, sources: Path) -> Path:
    go = _find_go(progress)
    target = layout.store / f"{build.name}-{hash_content(build, sources)}"
    partial = target.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    command = [go, "build", "-trimpath", f"-ldflags=-s -w {build.link_flags}".rstrip()]
    command += [f"-tags={build.tags}"] if build.tags else []
    command += ["-o", str(partial / build.name), build.package]
    env = {
        "CGO_ENABLED": "0",
        # The user's own flags (-mod=vendor, a workspace) belong to other modules.
        "GOFLAGS": "-buildvcs=false",
        "GOWORK": "off",
        # Distributions forbid fetching the toolchain that a module asks for.
        "GOTOOLCHAIN": "auto",
    }
    with progress.step(f"building {build.name}", usual_seconds=build.usual_seconds) as step:
        try:
            step.run(command, timeout_seconds=_BUILD_SECONDS, env=env, cwd=sources / build.name)
        except CommandError as error:
            error.advice = (
                "if the log speaks of the network, the Go module proxy cannot be reached "
                "(see `go env GOPROXY`); what was fetched and compiled is kept, so run this again"
            )
            raise
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)
    _forget_old(build, layout)
    return target / build.name


def _forget_old(build: Build, layout: Layout) -> None:
    own = re.compile(rf"{re.escape(build.name)}-[0-9a-f]{{12}}")
    folders = [path for path in layout.store.iterdir() if own.fullmatch(path.name)]
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime)[:-_KEPT_BUILDS]:
        shutil.rmtree(folder, ignore_errors=True)


def _find_go(progress: Progress) -> str:
    go = packages.find("go") or packages.find("/usr/local/go/bin/go")
    if go is None:
        with contextlib.suppress(ToolError):
            packages.install((packages.Program("go", "golang-go"),), progress)
        go = packages.find("go")
    version = run([go, "env", "GOVERSION"]).output.strip() if go else ""
    if go is None or not is_go_recent(version):
        found = f"Go {version.removeprefix('go')} is too old" if version else "Go is not installed"
        raise ToolError(
            f"{found}, and the cluster's programs are built with it",
            advice="install Go 1.21 or later from https://go.dev/dl/ and put it on the PATH",
        )
    return go


def is_go_recent(version: str) -> bool:
    """Say whether ``go env GOVERSION`` names a Go that can fetch newer toolchains itself."""
    numbers = re.match(r"go(\d+)\.(\d+)", version)
    return numbers is not None and tuple(int(n) for n in numbers.groups()) >= _GO_MINIMUM

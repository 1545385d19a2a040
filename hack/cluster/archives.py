"""Image archives: written for programs of one file, read for what they hold.

The cluster's own two images are one static program each. A layer, a configuration and a
manifest in a tar file are all that takes; no image builder has to be installed.

Before: ``builds`` makes the programs; other tools and users make archives of their own.
After: ``nodes`` imports them into containerd, kind into its node.
"""

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hack.tooling.errors import ToolError

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_EPOCH = "1970-01-01T00:00:00Z"
_PROGRAM_MODE = 0o755


@dataclass(frozen=True)
class ArchivedImage:
    """One image in an archive."""

    config_digest: str
    """``sha256:…``, which container runtimes use as the image's id."""
    names: tuple[str, ...]


def write_program_image(program: Path, *, name: str, archive: Path) -> None:
    """Write an image that holds one static program and runs it; the same input, the same bytes."""
    layer = _tar({program.name: program.read_bytes()}, mode=_PROGRAM_MODE)
    machine = os.uname().machine
    config = {
        "architecture": _ARCHITECTURES.get(machine, machine),
        "os": "linux",
        "created": _EPOCH,
        "config": {"Entrypoint": [f"/{program.name}"], "WorkingDir": "/"},
        "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        "history": [{"created": _EPOCH, "created_by": "hack/cluster"}],
    }
    described = json.dumps(config, sort_keys=True).encode()
    config_name = f"{_digest(described).removeprefix('sha256:')}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]
    files = {
        config_name: described,
        "layer.tar": layer,
        "manifest.json": json.dumps(manifest).encode(),
    }
    partial = archive.with_suffix(".partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.write_bytes(_tar(files))
    partial.replace(archive)


def read_images(archive: Path) -> tuple[ArchivedImage, ...]:
    """Read which images a docker-archive holds, without unpacking it.

    Raises:
        ToolError: there is no such file, or it is no docker-archive.
    """
    advice = "make one with `docker save` or `buildah push IMAGE docker-archive:FILE:NAME`"
    try:
        with tarfile.open(archive) as tar:
            file = tar.extractfile("manifest.json")
            entries: Sequence[dict[str, object]] = json.load(file) if file else []
            return tuple(_read_entry(tar, entry) for entry in entries)
    except OSError as error:
        raise ToolError(
            f"cannot read {archive}: {error.strerror or error}", advice=advice
        ) from error
    except (tarfile.TarError, KeyError, ValueError, TypeError) as error:
        raise ToolError(f"{archive} is not a docker-archive", advice=advice) from error


def _read_entry(tar: tarfile.TarFile, entry: dict[str, object]) -> ArchivedImage:
    file = tar.extractfile(str(entry["Config"]))
    if file is None:
        raise KeyError(entry["Config"])
    names = entry.get("RepoTags")
    tags = tuple(str(name) for name in names) if isinstance(names, list) else ()
    return ArchivedImage(_digest(file.read()), tags)


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _tar(files: dict[str, bytes], *, mode: int = 0o644) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()

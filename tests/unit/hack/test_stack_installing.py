"""``down`` takes a namespace away only if ``up`` made it."""

from pathlib import Path
from typing import Any, cast

import pytest

from hack.stack import installing
from hack.stack.cluster import Cluster
from hack.stack.installing import MADE_BY, MADE_BY_US


class FakeCluster:
    """Has one namespace, and remembers which ones were deleted."""

    kubeconfig = Path("/config")

    def __init__(self, labels: dict[str, str]) -> None:
        self.labels = labels
        self.deleted: list[str] = []

    def get(self, *_: str) -> dict[str, Any]:
        return {"metadata": {"labels": self.labels}}

    def kubectl(self, *arguments: str) -> str:
        if arguments[:2] == ("delete", "namespace"):
            self.deleted.append(arguments[2])
        return ""

    def helm(self, *_: str) -> str:
        return ""


@pytest.mark.parametrize(
    ("labels", "deleted"), [({MADE_BY: MADE_BY_US}, ["demo"]), ({}, []), ({MADE_BY: "Helm"}, [])]
)
def test_only_a_namespace_that_up_made_is_deleted(
    labels: dict[str, str], deleted: list[str]
) -> None:
    cluster = FakeCluster(labels)

    installing.remove(cast("Cluster", cluster))

    assert [name for name in cluster.deleted if name == "demo"] == deleted


def test_the_mail_server_runs_from_the_image_that_the_cluster_has() -> None:
    manifest = installing.MAIL.read_text(encoding="utf-8")

    built = installing.build_mail({"mailpit": "localhost/mailpit:1"}, manifest)

    assert built.count("image: localhost/mailpit:1\n") == 1
    assert "axllent" not in built
    assert installing.build_mail({}, manifest) == manifest

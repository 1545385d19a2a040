"""A cluster that somebody else runs, named by KUBECONFIG.

Before: ``choosing``, when KUBECONFIG is set.
After: nothing of it is changed here; only whether it can be reached is checked.
"""

from collections.abc import Sequence
from pathlib import Path

from hack.cluster.providers import Extent, Status
from hack.tooling.errors import CommandError, ToolError
from hack.tooling.running import probe
from hack.tooling.steps import Progress

_REACH_SECONDS = 30.0


class ExistingCluster:
    """A cluster that is used as it is."""

    name = "existing"

    def __init__(self, kubeconfig: Path, kubectl: str) -> None:
        self._kubeconfig = kubeconfig
        self._kubectl = kubectl

    @property
    def kubeconfig(self) -> Path:
        """As the user gave it."""
        return self._kubeconfig

    def check(self) -> None:
        """Insist on the file.

        Raises:
            ToolError: it is not there.
        """
        if not self._kubeconfig.exists():
            raise ToolError(
                f"KUBECONFIG names {self._kubeconfig}, which is not there",
                advice="correct it, or `unset KUBECONFIG` to get a cluster on this machine",
            )

    def up(self, progress: Progress) -> None:
        """Check that it can be reached.

        Raises:
            ToolError: it cannot.
        """
        with progress.step(f"asking the cluster of {self._kubeconfig}"):
            reason = self._find_fault()
        if reason:
            raise ToolError(
                f"the cluster of {self._kubeconfig} does not answer: {reason}",
                advice="start it or correct KUBECONFIG; `unset KUBECONFIG` gets a cluster "
                "on this machine",
            )

    def down(self, progress: Progress, extent: Extent) -> None:
        """Leave it alone: it was not started here."""
        del extent
        progress.say(f"the cluster of {self._kubeconfig} was not started here and stays")

    def load(self, archives: Sequence[Path], progress: Progress) -> None:
        """Say that this cannot be done.

        Raises:
            ToolError: always.
        """
        del archives, progress
        raise ToolError(
            f"images cannot be put into the cluster of {self._kubeconfig} from here",
            advice="push them to a registry that the cluster can pull from, and name them in "
            "the chart's values",
        )

    def observe_status(self) -> Status:
        """Ask whether it answers."""
        reason = self._find_fault()
        return Status(not reason, (f"api          {reason or 'answers'}",))

    def list_logs(self) -> dict[str, Path]:
        """None: they are where the cluster is."""
        return {}

    def _find_fault(self) -> str:
        command = [self._kubectl, f"--kubeconfig={self._kubeconfig}", "--request-timeout=10s"]
        try:
            result = probe([*command, "get", "--raw=/readyz"], timeout_seconds=_REACH_SECONDS)
        except CommandError as error:
            return error.found
        if result.is_success:
            return ""
        return next(iter(reversed(result.errors.strip().splitlines())), "no reason was given")

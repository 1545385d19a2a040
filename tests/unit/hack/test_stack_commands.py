"""``down`` ends the cluster whatever happens, and says what stays."""

import pytest

from hack.stack import cli, commands, installing
from hack.stack.cluster import Provider
from hack.tooling.errors import CommandError, ToldError, ToolError


class World:
    """Stands in for the tools that ``down`` calls."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, provider: Provider) -> None:
        self.failure: ToolError | None = None
        self.done: list[str] = []
        monkeypatch.setattr(commands, "ask_provider", lambda: provider)
        monkeypatch.setattr(commands, "find_cluster", lambda: None)
        monkeypatch.setattr(installing, "remove", self._remove)
        monkeypatch.setattr(commands, "stop_cluster", lambda: self.done.append("stopped"))

    def _remove(self, _: object) -> None:
        if self.failure:
            raise self.failure
        self.done.append("removed")


def an_unreachable_server() -> CommandError:
    return CommandError(["kubectl", "delete"], status=1, output="connection refused")


def test_down_removes_the_platform_and_then_ends_the_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, Provider.LOCAL)

    assert cli.main(["down"]) == 0

    assert world.done == ["removed", "stopped"]


def test_a_server_that_does_not_answer_does_not_keep_our_cluster_from_ending(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(monkeypatch, Provider.LOCAL)
    world.failure = an_unreachable_server()

    assert cli.main(["down"]) == 0

    assert world.done == ["stopped"]
    assert "connection refused" in capsys.readouterr().err


def test_a_platform_that_stays_on_somebody_elses_cluster_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, Provider.EXISTING)
    world.failure = an_unreachable_server()

    assert cli.main(["down"]) == 1

    assert world.done == ["stopped"]


def test_without_a_cluster_nothing_is_uninstalled(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, Provider.NONE)

    cli.main(["down"])

    assert world.done == ["stopped"]


def test_what_another_tool_said_is_not_repeated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise ToldError(130)

    monkeypatch.setattr(commands, "up", fail)

    assert cli.main(["up"]) == 130
    assert capsys.readouterr().err == ""


def test_an_interruption_ends_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(commands, "up", interrupt)

    assert cli.main(["up"]) == 130
    assert "run the same command again" in capsys.readouterr().err

"""Bad input gets a sentence that says what to do."""

import os
import socket
from pathlib import Path

import pytest

from hack.cluster import cli, ports, preflight
from hack.cluster.layouts import API_PORT, DIRECTORY_VARIABLE, Layout
from hack.tooling.errors import ToolError

TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1
   1: 0100007F:192B 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 222 1
   2: 00000000:280A 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1
"""


def run(tmp_path: Path, *arguments: str, **environ: str) -> int:
    return cli.main(arguments, {DIRECTORY_VARIABLE: str(tmp_path / "state"), **environ})


def test_a_kubeconfig_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = run(tmp_path, "up", KUBECONFIG="/nowhere/config")

    said = capsys.readouterr().err
    assert status == 1
    assert "KUBECONFIG names /nowhere/config, which is not there" in said
    assert "unset KUBECONFIG" in said


def test_a_cluster_that_does_not_answer_is_reported_with_kubectls_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kubectl = tmp_path / "kubectl"
    version = '{"clientVersion": {"gitVersion": "v1.34.4"}}'
    kubectl.write_text(
        f"#!/bin/sh\ncase $1 in version) echo '{version}'; exit;; esac\n"
        "echo 'refused' >&2; exit 1\n"
    )
    kubectl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    config = tmp_path / "config"
    config.touch()

    status = run(tmp_path, "up", KUBECONFIG=str(config))

    said = capsys.readouterr().err
    assert status == 1
    assert f"the cluster of {config} does not answer: refused" in said


def test_status_without_a_cluster_exits_with_1_and_says_what_to_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "status") == 1
    assert "run `python3 hack/cluster up`" in capsys.readouterr().err


def test_down_without_a_cluster_has_nothing_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, "down") == 0
    assert "there is no cluster to take down" in capsys.readouterr().out


def test_programs_can_ask_which_kind_of_cluster_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, "provider")
    run(tmp_path, "provider", KUBECONFIG="/somebody/elses")
    run(tmp_path, "provider", KUBECONFIG=str(tmp_path / "state/kubeconfig"))

    assert capsys.readouterr().out.split() == ["none", "existing", "none"]


def test_without_root_the_other_ways_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    with pytest.raises(ToolError) as refusal:
        preflight.check_machine()

    assert "needs root" in refusal.value.found
    assert "sudo" in refusal.value.advice
    assert "KUBECONFIG" in refusal.value.advice


def test_a_full_disk_is_told_in_gigabytes(tmp_path: Path) -> None:
    with pytest.raises(ToolError) as refusal:
        preflight.check_disk(tmp_path / "not" / "yet", needed_bytes=10**18)

    assert "1000000000.0 GB are needed" in refusal.value.found
    assert DIRECTORY_VARIABLE in refusal.value.advice


def test_a_port_in_use_is_reported_with_the_process_that_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setattr(preflight, "PORTS", {port: "the API server"})

        with pytest.raises(ToolError) as refusal:
            preflight.check_ports(set())

    assert f"port {port}, which the API server needs" in refusal.value.found
    assert f"process {os.getpid()}" in refusal.value.found
    assert f"kill {os.getpid()}" in refusal.value.advice


def test_our_own_processes_may_hold_the_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setattr(preflight, "PORTS", {server.getsockname()[1]: "the API server"})

        preflight.check_ports({os.getpid()})


def test_only_sockets_that_listen_count() -> None:
    assert ports.parse_listening(TABLE, API_PORT) == {"111"}


def test_the_state_folder_of_an_ordinary_user_lies_in_their_home(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)

    folder = cli.find_directory({"XDG_STATE_HOME": "/home/somebody/.state"})

    assert folder == Path("/home/somebody/.state/orchestrator-cluster")


def test_purging_leaves_what_others_keep_in_the_folder(tmp_path: Path) -> None:
    layout = Layout(tmp_path)
    layout.store.mkdir()
    (tmp_path / "somebody's thesis").touch()

    cli._purge(layout)  # noqa: SLF001 - the one part of `down --purge` that needs no cluster

    assert [path.name for path in tmp_path.iterdir()] == ["somebody's thesis"]

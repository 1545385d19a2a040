"""The processes of pods are told from others by the cgroup they are in."""

from pathlib import Path

from hack.cluster.cgroups import PodCgroup


def a_hierarchy(mount: Path, path: str, pids: str = "") -> Path:
    folder = mount / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "cgroup.procs").write_text(pids)
    return folder


def test_processes_are_found_below_ours_in_every_hierarchy(tmp_path: Path) -> None:
    a_hierarchy(tmp_path, "memory", "1\n2\n")
    a_hierarchy(tmp_path, "memory/ours")
    a_hierarchy(tmp_path, "memory/ours/kubepods/pod1/c1", "40\n41\n0\n")
    a_hierarchy(tmp_path, "memory/docker/abc", "50\n")
    a_hierarchy(tmp_path, "pids", "1\n")
    a_hierarchy(tmp_path, "pids/ours/kubepods/pod1/c1", "41\n42\n")

    assert PodCgroup("ours", tmp_path).list_processes() == {40, 41, 42}


def test_without_our_cgroup_there_are_no_processes(tmp_path: Path) -> None:
    a_hierarchy(tmp_path, "memory", "1\n")

    assert PodCgroup("ours", tmp_path).list_processes() == set()


def test_it_is_made_in_every_hierarchy_with_the_processors_of_its_parent(tmp_path: Path) -> None:
    a_hierarchy(tmp_path, "memory")
    cpuset = a_hierarchy(tmp_path, "cpuset")
    ours = a_hierarchy(tmp_path, "cpuset/ours")
    for name in ("cpuset.cpus", "cpuset.mems"):
        (cpuset / name).write_text("0-1\n")
        (ours / name).write_text("\n")

    PodCgroup("ours", tmp_path).ensure()

    assert (tmp_path / "memory" / "ours").is_dir()
    assert (ours / "cpuset.cpus").read_text() == "0-1\n"


def test_on_cgroup_v2_the_controllers_are_handed_down(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    control = tmp_path / "cgroup.subtree_control"

    PodCgroup("ours", tmp_path).ensure()

    assert control.read_text() == "+memory", "the kernel adds up; a plain file keeps the last"
    assert (tmp_path / "ours").is_dir()


def test_empty_cgroups_are_removed_innermost_first(tmp_path: Path) -> None:
    a_hierarchy(tmp_path, "memory")
    (tmp_path / "memory/ours/kubepods/pod1").mkdir(parents=True)

    PodCgroup("ours", tmp_path).remove()

    assert not (tmp_path / "memory/ours").exists()

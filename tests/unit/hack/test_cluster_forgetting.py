"""Old images go; what runs, what a workload names and the last few stay."""

from hack.cluster.forgetting import choose_old, with_ids

API = "localhost/orchestrator/api"
WORKER = "localhost/orchestrator/worker"


def loads(name: str, count: int) -> list[str]:
    return [f"{name}:{number}" for number in range(count)]


def digests(references: list[str]) -> dict[str, str]:
    return {reference: f"digest of {reference}" for reference in references}


def test_the_last_three_of_each_name_stay() -> None:
    order = loads(API, 5) + loads(WORKER, 4)

    old = choose_old(digests(order), order=order, used=set())

    assert old == [f"{API}:0", f"{API}:1", f"{WORKER}:0"]


def test_what_is_loaded_again_counts_as_new() -> None:
    order = [*loads(API, 5)[1:], f"{API}:0"]

    assert choose_old(digests(order), order=order, used=set()) == [f"{API}:1", f"{API}:2"]


def test_an_image_from_before_the_record_is_older_than_all_in_it() -> None:
    order = loads(API, 3)

    old = choose_old(digests([*order, f"{API}:unknown"]), order=order, used=set())

    assert old == [f"{API}:unknown"]


def test_what_a_container_or_a_workload_names_stays_however_old() -> None:
    order = loads(API, 5)

    assert choose_old(digests(order), order=order, used={f"{API}:0"}) == [f"{API}:1"]


def test_images_of_others_are_never_touched() -> None:
    order = loads("docker.io/library/postgres", 9) + loads("localhost/orchestrator-cluster/dns", 9)

    assert choose_old(digests(order), order=order, used=set()) == []


def test_the_id_of_an_image_goes_with_its_last_name() -> None:
    present = {f"{API}:0": "d0", "sha256:zero": "d0", f"{API}:1": "d1", "sha256:one": "d1"}

    assert with_ids([f"{API}:0"], present) == [f"{API}:0", "sha256:zero"]


def test_the_id_stays_while_the_content_has_another_name() -> None:
    present = {f"{API}:0": "same", f"{WORKER}:0": "same", "sha256:id": "same"}

    assert with_ids([f"{API}:0"], present) == [f"{API}:0"]

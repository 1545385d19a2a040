import pytest

from hack.images.mirrors import KEYRING, to_options, to_sources
from hack.images.roots import parse_packages
from hack.tooling.errors import ToolError

SIGNED = f"[signed-by={KEYRING}]"


def test_the_machines_own_mirrors_serve_trixie_whatever_the_machine_runs() -> None:
    targets = """\
Packages http://mirror.example/debian/ bookworm main
Packages http://mirror.example/debian/ bookworm contrib
Packages http://mirror.example/debian/ bookworm-updates main
Packages http://security.example/debian-security/ bookworm-security main
Translations http://other.example/debian/ bookworm main
Packages https://tools.example/apt nodistro main
"""

    assert to_sources(targets) == (
        f"deb {SIGNED} http://mirror.example/debian/ trixie main",
        f"deb {SIGNED} http://mirror.example/debian/ trixie-updates main",
        f"deb {SIGNED} http://security.example/debian-security/ trixie-security main",
    )


def test_a_machine_without_security_updates_builds_without_them() -> None:
    sources = to_sources("Packages http://mirror.example/debian/ trixie main\n")

    assert sources == (f"deb {SIGNED} http://mirror.example/debian/ trixie main",)


def test_a_named_mirror_replaces_those_of_the_machine() -> None:
    targets = "Packages http://mirror.example/debian/ trixie-security main\n"

    sources = to_sources(targets, mirror="http://near.example/debian")

    assert sources == (f"deb {SIGNED} http://near.example/debian trixie main",)


def test_a_machine_that_is_no_debian_is_told_what_to_do() -> None:
    with pytest.raises(ToolError, match="is a Debian mirror") as error:
        to_sources("Packages http://archive.example/ubuntu/ noble main\n")

    assert "ORCHESTRATOR_IMAGES_DEBIAN_MIRROR" in error.value.advice
    assert "--builder docker" in error.value.advice


def test_proxies_and_retries_of_apt_are_passed_on_and_nothing_else() -> None:
    dump = """\
APT::Architecture "amd64";
Acquire::http::Proxy "http://proxy.example:3128";
Acquire::Retries "5";
Acquire::Languages "none";
DPkg::Post-Invoke:: "rm -f /var/cache/apt/archives/*.deb";
"""

    assert to_options(dump) == (
        'Acquire::http::Proxy "http://proxy.example:3128";',
        'Acquire::Retries "5";',
    )


def test_a_list_of_packages_names_packages_and_what_to_leave_out() -> None:
    parsed = parse_packages("# why\nredis-server\n\n-/usr/bin/*benchmark*\ndash\n")

    assert parsed.packages == ("redis-server", "dash")
    assert parsed.left_out == ("/usr/bin/*benchmark*",)


def test_a_list_without_packages_is_refused() -> None:
    with pytest.raises(ToolError, match="names none"):
        parse_packages("# only this\n-/usr/bin/perl\n")

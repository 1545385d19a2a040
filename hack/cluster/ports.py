"""Who listens on a port of this machine.

Before: ``preflight``, when a port that the node needs is taken.
After: an error that names the process.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

_LISTENING = "0A"
"""State of a socket in /proc/net/tcp that waits for connections (proc(5))."""


@dataclass(frozen=True)
class Listener:
    """A process that listens; what cannot be seen is empty."""

    pid: int | None
    command: str


def find_listener(port: int) -> Listener | None:
    """Find who listens on a TCP port at any address; nothing when the port is free."""
    inodes: set[str] = set()
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            inodes |= parse_listening(Path("/proc/net", name).read_text(encoding="ascii"), port)
    return _find_owner(inodes) if inodes else None


def parse_listening(table: str, port: int) -> set[str]:
    """Read the inodes of the sockets that listen on a port from a table of /proc/net."""
    rows = [line.split() for line in table.splitlines()[1:]]
    wanted = f":{port:04X}"
    return {row[9] for row in rows if row[1].endswith(wanted) and row[3] == _LISTENING}


def _find_owner(inodes: set[str]) -> Listener:
    links = {f"socket:[{inode}]" for inode in inodes}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            # Processes end while we look, and others' cannot be looked into.
            with contextlib.suppress(OSError):
                if any(str(file.readlink()) in links for file in (folder / "fd").iterdir()):
                    words = (folder / "cmdline").read_bytes().split(b"\0")
                    command = " ".join(word.decode(errors="replace") for word in words[:2]).strip()
                    return Listener(int(folder.name), command)
    return Listener(None, "")

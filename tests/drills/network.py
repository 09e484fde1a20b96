"""A network without machines: each host is a network namespace, and a road between them can be cut.

The road is a namespace too. It forwards between the hosts, each of which has a subnet of its own, and drops without a
word what goes from one to another where that way is cut. Nothing of it is seen outside, and nothing of it stays: what
a test run that was killed left behind is known by the number of its process, and removed by the next.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

__all__ = ["Network", "Place"]

_PREFIX: Final = "goldthread-drill"
_NAMESPACES: Final = Path("/run/netns")
_GONE_SECONDS: Final = 30.0


class Place:
    """Where a host is: its namespace, its address, its disk."""

    def __init__(self, namespace: str, address: str) -> None:
        self.namespace = namespace
        self.address = address
        self.enter = ("nsenter", f"--net={_NAMESPACES / namespace}")
        """The beginning of a command line that is to run there."""

    def processes(self, word: bytes = b"") -> list[int]:
        """Those that live there; with `word` in their command line."""
        return [pid for pid in _processes_in(self.namespace) if word in _command_line(pid)]

    def mount_disk(self, path: Path, size: str) -> None:
        """A small disk of its own, in memory."""
        path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", self.namespace, path], check=True)


class Network:
    """Places on one road. Made by `open_network`."""

    def __init__(self) -> None:
        self._road = self._name("road")
        self._places: dict[str, Place] = {}

    def open(self) -> None:
        _sweep()
        _ip("netns", "add", self._road)
        enter = Place(self._road, "").enter
        subprocess.run([*enter, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward"], check=True)

    def close(self) -> None:
        """Kill whoever still lives there, and remove it all."""
        for namespace in (*(place.namespace for place in self._places.values()), self._road):
            _remove(namespace)

    def addresses(self, most: int) -> list[str]:
        """Of the first places, those to come too."""
        return [f"10.77.{number + 1}.2" for number in range(most)]

    def add(self, name: str) -> Place:
        subnet = f"10.77.{len(self._places) + 1}"
        place = self._places[name] = Place(self._name(name), f"{subnet}.2")
        inside = ("-n", place.namespace)
        _ip("netns", "add", place.namespace)
        _ip("-n", self._road, "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", place.namespace)
        _ip("-n", self._road, "address", "add", f"{subnet}.1/24", "dev", name)
        _ip(*inside, "address", "add", f"{place.address}/24", "dev", "eth0")
        _ip(*inside, "link", "set", "lo", "up")
        self.set_link(name, up=True)
        _ip(*inside, "route", "add", "default", "via", f"{subnet}.1")
        return place

    def set_link(self, name: str, *, up: bool) -> None:
        """Plug a host's cable in, or pull it out."""
        _ip("-n", self._road, "link", "set", name, "up" if up else "down")
        _ip("-n", self._places[name].namespace, "link", "set", "eth0", "up")

    def cut(self, source: str, target: str) -> None:
        """From now on nothing comes through in this direction, and nobody is told."""
        _ip("-n", self._road, "rule", "add", *self._way(source, target))

    def mend(self, source: str, target: str) -> None:
        _ip("-n", self._road, "rule", "del", *self._way(source, target))

    def bytes_to(self, name: str) -> int:
        """How much has come to a host so far."""
        shown = _ip("-n", self._road, "-json", "-statistics", "link", "show", "dev", name)
        return int(json.loads(shown)[0]["stats64"]["tx"]["bytes"])

    def _way(self, source: str, target: str) -> tuple[str, ...]:
        return ("from", self._places[source].address, "to", self._places[target].address, "blackhole")

    def _name(self, of: str) -> str:
        return f"{_PREFIX}-{os.getpid()}-{of}"


def skip_without_namespaces() -> None:
    if os.getuid() != 0:
        pytest.skip("needs root, to make network namespaces")
    if missing := [tool for tool in ("ip", "nsenter", "mount") if shutil.which(tool) is None]:
        pytest.skip(f"needs {', '.join(missing)} (Debian: iproute2, util-linux)")


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"ip {' '.join(words)}: {done.stderr}"
    return done.stdout


def _sweep() -> None:
    """Remove what test runs left that are no more."""
    for path in _NAMESPACES.glob(f"{_PREFIX}-*"):
        if not Path(f"/proc/{path.name.split('-')[2]}").exists():
            _remove(path.name)


def _remove(namespace: str) -> None:
    """A host and all that lives there, and its disks."""
    _kill_all(namespace)
    for line in Path("/proc/mounts").read_text().splitlines():
        if line.split()[0] == namespace:
            subprocess.run(["umount", "--lazy", line.split()[1].replace("\\040", " ")], check=True)
    _ip("netns", "delete", namespace)


def _kill_all(namespace: str) -> None:
    """Until nobody is left who could start another."""
    deadline = time.monotonic() + _GONE_SECONDS
    while left := _processes_in(namespace):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        assert time.monotonic() < deadline, f"these outlive SIGKILL: {left}"


def _processes_in(namespace: str) -> list[int]:
    try:
        inode = (_NAMESPACES / namespace).stat().st_ino
    except FileNotFoundError:
        return []
    return [pid for pid in _processes() if _namespace_of(pid) == inode]


def _processes() -> Iterator[int]:
    return (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())


def _namespace_of(pid: int) -> int:
    try:
        return Path(f"/proc/{pid}/ns/net").stat().st_ino
    except OSError:  # It ended meanwhile.
        return 0


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""

"""Real lease stores for the tests: where they live, and how they are lost, frozen, and brought back.

A place gives each test an address of its own. What was lost or frozen is there again after `bring_back`, with all that
stood in it if it `lasts`.

Servers are children that die with the test run, also when it is killed (`setpriv --pdeathsig`).
"""

from __future__ import annotations

import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

_UP_SECONDS: Final = 60.0
_TRIES: Final = 5
_HOLD_LOCK: Final = """
import sqlite3, sys
connections = [sqlite3.connect(file, isolation_level=None) for file in sys.argv[1:]]
for connection in connections:
    connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


def spawn(*command: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    """A child that is killed when this process ends, however it ends."""
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("needs setpriv (Debian: util-linux), so that no server outlives its test")
    return subprocess.Popen(
        [setpriv, "--pdeathsig", "KILL", *command],
        stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def await_line(process: subprocess.Popen[str], pattern: str) -> str | None:
    """What the pattern's group finds in the output, once it is there; None where the process ended before.

    What is written later is read and dropped, so that the process never waits for a reader."""
    found: list[str] = []
    told = threading.Event()

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            match = re.search(pattern, line)
            if match and not found:
                found.append(match[1])
                told.set()
        told.set()

    threading.Thread(target=read, daemon=True).start()
    assert told.wait(_UP_SECONDS), f"{process.args!r} says nothing"
    return found[0] if found else None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class _Server:
    """What servers share: one process that is stopped, killed, and started again."""

    def __init__(self) -> None:
        self._process = self._start()

    def _start(self) -> subprocess.Popen[str]:
        raise NotImplementedError

    def lose(self) -> None:
        self._process.kill()
        self._process.wait()

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def bring_back(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
        else:
            self._process = self._start()

    def close(self) -> None:
        self.lose()


class Etcd(_Server):
    """One member, with its data in a folder; on another host where it is told its address and the way to enter it."""

    lasts = True

    def __init__(self, folder: Path, host: str = "127.0.0.1", enter: Sequence[str] = ()) -> None:
        if shutil.which("etcd") is None:
            pytest.skip("needs etcd: apt-get install etcd-server")
        self._folder = folder
        self._host = host
        self._enter = enter
        self._port = 0
        super().__init__()

    @property
    def endpoint(self) -> str:
        return f"{self._host}:{self._port}"

    def address(self, of: str) -> str:
        return f"etcd://{self.endpoint}/{of}"

    def _start(self) -> subprocess.Popen[str]:
        for _ in range(_TRIES):
            port = self._port or free_port()
            here, peer = f"http://{self._host}:{port}", f"http://127.0.0.1:{free_port()}"
            process = spawn(
                *self._enter, "etcd", "--data-dir", str(self._folder), "--listen-client-urls", here,
                "--advertise-client-urls", here, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", f"default={peer}",
            )  # fmt: skip
            if await_line(process, "(ready to serve client|serving insecure client|serving client traffic)"):
                self._port = port
                return process
            process.wait()
        raise AssertionError("etcd does not begin")


class Moto(_Server):
    """An object store that speaks S3, in memory, with one bucket."""

    lasts = False

    def __init__(self, folder: Path) -> None:
        pytest.importorskip("moto", reason='needs moto: pip install "goldthread[dev]"')
        self._port = 0
        super().__init__()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def address(self, of: str) -> str:
        return f"s3://leases/{of}?endpoint={self.endpoint}"

    def _start(self) -> subprocess.Popen[str]:
        for _ in range(_TRIES):
            process = spawn(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port))
            port = await_line(process, r"Running on http://127\.0\.0\.1:(\d+)")
            if port is not None:
                self._port = int(port)
                self.put("leases")
                return process
            process.wait()
        raise AssertionError("moto does not begin")

    def put(self, path: str, content: bytes = b"") -> None:
        """A bucket or an object, past the client."""
        request = urllib.request.Request(
            f"{self.endpoint}/{path}", content, {"Content-Type": "text/plain"}, method="PUT"
        )
        urllib.request.urlopen(request).close()


class SqliteFile:
    """Files in a folder: lost where they are renamed, frozen where a stopped process has locked them."""

    lasts = True

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stopped: subprocess.Popen[str] | None = None

    def address(self, of: str) -> str:
        return f"sqlite://{self._folder}/{of}.sqlite"

    def lose(self) -> None:
        for file in self._folder.glob("*.sqlite"):
            file.rename(file.with_suffix(".lost"))

    def freeze(self) -> None:
        files = map(str, self._folder.glob("*.sqlite"))
        self._stopped = spawn(sys.executable, "-c", _HOLD_LOCK, *files, stdin=subprocess.PIPE)
        assert await_line(self._stopped, "(held)")
        self._stopped.send_signal(signal.SIGSTOP)

    def bring_back(self) -> None:
        for file in self._folder.glob("*.lost"):
            file.rename(file.with_suffix(".sqlite"))
        if self._stopped is not None:
            self._stopped.kill()
            self._stopped.wait()
            self._stopped = None

    def close(self) -> None:
        self.bring_back()


class Memory:
    """In this process there is nothing to lose."""

    lasts = False

    def address(self, of: str) -> str:
        return "memory:"

    def close(self) -> None: ...


Place = Memory | SqliteFile | Etcd | Moto

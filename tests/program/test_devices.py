"""Which open files may have a device write into memory."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from io_ring import Ring, call

from goldthread.slots import devices
from goldthread.slots.devices import open_device

pytestmark = pytest.mark.usefixtures("no_device")


def test_files_that_hold_no_pages_are_known(tmp_path: Path) -> None:
    left, right = socket.socketpair()
    with (
        (tmp_path / "file").open("w"),
        socket.socket(socket.AF_INET) as tcp,
        socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp,
        Path("/dev/null").open("rb"),
        Path("/dev/urandom").open("rb"),
        select.epoll() as polled,
        left,
        right,
    ):
        opened = [os.eventfd(0), os.pidfd_open(os.getpid()), os.memfd_create("memory"), *os.pipe(), *os.openpty()]
        opened.append(os.open(tmp_path, os.O_RDONLY))
        assert min(tcp.fileno(), udp.fileno(), polled.fileno()) > 0
        assert open_device() is None
        for descriptor in opened:
            os.close(descriptor)


def open_without_a_cache(folder: Path) -> int:
    (folder / "data").write_bytes(b"")
    return os.open(folder / "data", os.O_RDONLY | os.O_DIRECT)


def open_device_file(folder: Path) -> int:
    return os.open("/dev/fuse", os.O_RDWR)


def open_rules_of_landlock(folder: Path) -> int:
    """A file of no kind that is known here."""
    return call(444, struct.pack("Q", 1), 8, 0)


def open_frames(folder: Path) -> int:
    return socket.socket(socket.AF_PACKET, socket.SOCK_RAW).detach()


def open_in_a_file_system_that_is_not_known(folder: Path) -> int:
    """As FUSE, 9p and SMB, which read into the program's memory where no O_DIRECT asked for it."""
    return os.open("/sys/devices/system/cpu/online", os.O_RDONLY)


OPENINGS = [
    open_without_a_cache,
    open_device_file,
    open_rules_of_landlock,
    open_frames,
    open_in_a_file_system_that_is_not_known,
]


@pytest.mark.parametrize("opening", OPENINGS)
def test_a_file_that_may_hold_pages_is_known(opening: Callable[[Path], int], tmp_path: Path) -> None:
    try:
        descriptor = opening(tmp_path)
    except OSError as error:
        pytest.skip(f"it cannot be opened here: {error}")
    try:
        assert open_device() == str(Path(f"/proc/self/fd/{descriptor}").readlink())
    finally:
        os.close(descriptor)
    assert open_device() is None


def test_of_many_open_files_none_is_looked_at(tmp_path: Path) -> None:
    descriptors = [os.dup(0) for _ in range(260)]
    try:
        assert "open files" in str(open_device())
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def test_pages_are_held_on_to_with_no_open_file_in_sight() -> None:
    """A ring can be entered when its descriptor is closed, and writes into its buffer all the same."""
    try:
        ring = Ring(np.zeros(1 << 17))
    except OSError as error:
        pytest.skip(f"no io_uring here: {error}")
    ring.hide()
    open_files = subprocess.check_output(["ls", "-l", f"/proc/{os.getpid()}/fd"], text=True)
    assert "io_uring" not in open_files
    assert open_device() == "pages that are held on to"
    ring.close()
    assert open_device() is None


def test_a_file_of_which_nothing_can_be_known_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*words: int) -> None:
        raise OSError(errno.EIO, "the server is gone")

    monkeypatch.setattr(devices, "_facts", away)
    assert "the server is gone" in str(open_device())


def test_a_file_that_was_closed_meanwhile_counts_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def closed(*words: int) -> None:
        raise OSError(errno.EBADF, "closed")

    monkeypatch.setattr(devices, "_facts", closed)
    assert open_device() is None

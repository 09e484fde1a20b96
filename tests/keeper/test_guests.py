"""Who comes to a carrier, and how many of them may."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from goldthread.errors import PartnerError
from goldthread.keeper import guests as guests_module
from goldthread.keeper.carrier import Carrier
from goldthread.keeper.guests import Guests
from goldthread.keeper.keys import Keys
from goldthread.keeper.pipe import call
from goldthread.local import Home
from goldthread.names import seconds


@pytest.fixture
def streams() -> Iterator[list[socket.socket]]:
    """Far more than may come, and have proved nothing."""
    with ExitStack() as stack:
        door = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        ends = []
        for _ in range(100):
            stack.enter_context(socket.create_connection(door.getsockname()))
            ends.append(stack.enter_context(door.accept()[0]))
        yield ends


def is_cut(stream: socket.socket) -> bool:
    stream.setblocking(False)
    try:
        return stream.recv(1) == b""
    except BlockingIOError:
        return False


def test_the_oldest_of_a_crowd_go_and_who_has_proved_a_key_stays(streams: list[socket.socket]) -> None:
    """However old that one is."""
    guests, most = Guests(), guests_module._UNPROVED_MOST
    first, *others = streams
    assert guests.come(first)
    guests.prove(first)
    assert all(guests.come(stream) for stream in others)
    assert [False, *[True] * (len(others) - most), *[False] * most] == [is_cut(stream) for stream in streams]


def test_there_is_an_end_to_it(streams: list[socket.socket], monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever goes makes room."""
    monkeypatch.setattr(guests_module, "_MOST", 2)
    guests = Guests()
    assert [guests.come(stream) for stream in streams[:3]] == [True, True, False]
    guests.go(streams[0])
    assert guests.come(streams[2])


def test_a_host_without_threads_shuts_the_door_for_a_moment_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next one is let in when there are threads again."""
    home = Home(tmp_path)
    home.make()
    carrier = Carrier(home, "127.0.0.1", 0, seconds(3600), 0.5)
    start = threading.Thread.start
    refused: list[threading.Thread] = []

    def start_the_second(thread: threading.Thread) -> None:
        if thread.name == "goldthread-guest" and not refused:
            refused.append(thread)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_the_second)
    threading.Thread(target=carrier._let_in, daemon=True).start()
    address = carrier._door.getsockname()
    with socket.create_connection(address) as first:
        assert first.recv(1) == b""
    assert refused
    stranger = Keys(Home(tmp_path / "stranger"), "orochimaru")
    with pytest.raises(PartnerError, match="certificate verify failed"):
        call(stranger, [f"{address[0]}:{address[1]}"], stranger.me)

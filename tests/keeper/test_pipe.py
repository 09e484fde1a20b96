"""A pipe between two keepers' keys, over a real socket."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from OpenSSL import SSL

from goldthread.errors import PartnerError, PartnerUnreachable
from goldthread.keeper.keys import Keys, Partner
from goldthread.keeper.pipe import Pipe, answer, call
from goldthread.local import Home
from goldthread.wire.stream import Chunks, Want


def keys_of(folder: Path, *names: str) -> list[Keys]:
    """Keepers that have pinned each other."""
    keys = [Keys(Home(folder / name), name) for name in names]
    for one in keys:
        for other in keys:
            if other is not one:
                one.pin(Partner(other.me, other.name, (), (other.certificate,)))
    return keys


def pipes(mine: Keys, theirs: Keys) -> tuple[Pipe, Pipe]:
    """The caller's end and the answerer's."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        ends: list[Pipe] = []
        answering = threading.Thread(target=lambda: ends.append(answer(theirs, door.accept()[0])))
        answering.start()
        caller = call(mine, [f"127.0.0.1:{door.getsockname()[1]}"], theirs.me)
        answering.join()
    return caller, ends[0]


@pytest.fixture
def ends(tmp_path: Path) -> Iterator[tuple[Pipe, Pipe]]:
    caller, answerer = pipes(*keys_of(tmp_path, "iruka", "kakashi"))
    yield caller, answerer
    caller.close()
    answerer.close()


@pytest.mark.parametrize("length", [0, 1, 16383, 16384, 16385, 1_000_003, 4 << 20, 9_000_001])
def test_bytes_come_as_they_went(ends: tuple[Pipe, Pipe], length: int) -> None:
    """Message and bulk, whatever the length, in one piece or several."""
    caller, answerer = ends
    data = os.urandom(length)
    sending = threading.Thread(
        target=lambda: caller.send(Chunks(1, 2), [memoryview(data)[: length // 3], memoryview(data)[length // 3 :]])
    )
    sending.start()
    assert answerer.wait(30)
    assert answerer.receive() == (Chunks(1, 2), length)
    assert bytes(answerer.read(length)) == data
    sending.join()


@pytest.mark.parametrize("length", [300_001, 9_000_001])
def test_bytes_come_also_by_the_book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int) -> None:
    """Where pyOpenSSL hides its engine, its own call is used."""
    monkeypatch.setattr("goldthread.keeper.pipe.Binding", object())
    caller, answerer = pipes(*keys_of(tmp_path, "iruka", "kakashi"))
    data = os.urandom(length)
    sending = threading.Thread(target=lambda: caller.send(Chunks(0, 1), [memoryview(data)]))
    sending.start()
    assert answerer.receive() == (Chunks(0, 1), len(data))
    assert bytes(answerer.read(len(data))) == data
    sending.join()
    caller.close()
    answerer.close()


def test_frames_come_in_their_order_whatever_their_size(ends: tuple[Pipe, Pipe]) -> None:
    """Large ones among small ones; and an answer after all."""
    caller, answerer = ends
    sizes = [5 << 20, 0, 300_000, 4 << 20, 4 << 20, 17, 6_000_001, 0]
    data = os.urandom(max(sizes))

    def send() -> None:
        for number, size in enumerate(sizes):
            caller.send(Chunks(number, 1), [memoryview(data)[:size]])

    sending = threading.Thread(target=send)
    sending.start()
    for number, size in enumerate(sizes):
        assert answerer.receive() == (Chunks(number, 1), size)
        assert bytes(answerer.read(size)) == data[:size]
    sending.join()
    answerer.send(Want(()))
    assert caller.receive() == (Want(()), 0)


@pytest.mark.parametrize("side", ["caller", "answerer"])
def test_an_end_in_a_large_bulk_is_said_to_both(ends: tuple[Pipe, Pipe], side: str) -> None:
    """Whoever waits in it."""
    caller, answerer = ends
    data = memoryview(bytes(32 << 20))
    told: list[PartnerError] = []

    def send() -> None:
        try:
            caller.send(Chunks(0, 1), [data])
            caller.receive()
        except PartnerError as error:
            told.append(error)

    sending = threading.Thread(target=send)
    sending.start()
    answerer.receive()
    answerer.read(5 << 20)
    (caller if side == "caller" else answerer).cut()
    with pytest.raises(PartnerUnreachable):
        answerer.read(27 << 20)
    sending.join()
    assert [type(error) for error in told] == [PartnerUnreachable]


def test_signals_lose_nothing(ends: tuple[Pipe, Pipe]) -> None:
    """They interrupt what the engine does in the kernel, on either side and in the midst of a record."""
    caller, answerer = ends
    data, heard = os.urandom(24 << 20), 0

    def hear(*_: object) -> None:
        nonlocal heard
        heard += 1

    def there_and_back() -> None:
        answerer.receive()
        answerer.send(Chunks(1, 1), [answerer.read(len(data))])

    before = signal.signal(signal.SIGALRM, hear)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    other = threading.Thread(target=there_and_back)
    other.start()
    try:
        caller.send(Chunks(0, 1), [memoryview(data)])
        message, length = caller.receive()
        back = caller.read(length)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        other.join()
    assert heard
    assert (message, bytes(back)) == (Chunks(1, 1), data)


@pytest.mark.parametrize("way", ["read", "write"])
def test_silence_in_the_midst_of_something_ends_it(
    ends: tuple[Pipe, Pipe], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """The other side sends nothing more, or takes nothing more."""
    monkeypatch.setattr("goldthread.keeper.pipe._PATIENCE_SECONDS", 1.0)
    caller, answerer = ends
    caller.send(Chunks(0, 1), [memoryview(bytes(10))])
    answerer.receive()
    with pytest.raises(PartnerUnreachable, match="silent"):
        if way == "read":
            answerer.read(11)
        else:
            answerer.send(Want(()), [memoryview(bytes(64 << 20))])


def test_who_takes_a_little_at_a_time_is_not_silent(ends: tuple[Pipe, Pipe], monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel calls a socket writable when a third of all that waits there has gone, and not before."""
    caller, answerer = ends
    data = os.urandom(8 << 20)
    pieces: list[memoryview] = []
    told: list[bool] = []
    rest = threading.Thread(target=lambda: pieces.append(answerer.read(len(data) - sum(map(len, pieces)))))
    is_ready = Pipe._is_ready

    def take_a_little(pipe: Pipe, wanted: int, seconds: float) -> bool:
        """Twice; then all that is left."""
        if pipe is not caller or rest.ident is not None:
            return is_ready(pipe, wanted, seconds)
        if len(told) == 2:
            rest.start()
            return is_ready(pipe, wanted, seconds)
        if not told:
            answerer.receive()
        left = caller._unsent()
        while caller._unsent() == left:
            pieces.append(answerer.read(16 << 10))
        told.append(is_ready(pipe, wanted, 0))
        clock[0] += seconds
        return told[-1]

    clock = [0.0]
    monkeypatch.setattr("goldthread.keeper.pipe.monotonic", lambda: clock[0])
    monkeypatch.setattr("goldthread.keeper.pipe._PATIENCE_SECONDS", 2.0)
    monkeypatch.setattr(Pipe, "_is_ready", take_a_little)
    caller.send(Chunks(0, 1), [memoryview(data)])
    rest.join()
    assert told == [False, False]
    assert b"".join(pieces) == data


def test_who_says_nothing_is_not_taken_for_gone(ends: tuple[Pipe, Pipe]) -> None:
    """An idle connection stays good, and says so."""
    caller, answerer = ends
    assert not answerer.wait(0.01)
    caller.send(Chunks(0, 1))
    assert answerer.wait(30)
    assert answerer.receive() == (Chunks(0, 1), 0)


def test_an_end_is_said(ends: tuple[Pipe, Pipe]) -> None:
    """In the midst of a frame or between two: the partner cannot be reached any more."""
    caller, answerer = ends
    caller.cut()
    for end in (answerer, caller):
        with pytest.raises(PartnerUnreachable, match=r"was cut: (end of stream|Connection reset by peer)"):
            end.receive()


def test_an_end_of_one_way_is_said_to_both(ends: tuple[Pipe, Pipe]) -> None:
    """What is called the fault of a key is asked of a person, and what is cut is called again."""
    caller, answerer = ends
    caller._stream.shutdown(socket.SHUT_WR)
    for end in (answerer, caller):
        with pytest.raises(PartnerUnreachable, match="was cut"):
            end.receive()


def test_bytes_that_are_no_record_end_the_pipe(ends: tuple[Pipe, Pipe]) -> None:
    """Somebody on the way changed them: nothing of it is believed."""
    caller, answerer = ends
    os.write(caller._stream.fileno(), b"\x17\x03\x03\x00\x20" + os.urandom(32))
    with pytest.raises(PartnerError, match=r"was changed on its way: decryption failed or bad record mac"):
        answerer.receive()


def test_a_key_that_is_not_known_is_said_as_such_to_both(tmp_path: Path) -> None:
    """The caller hears of it when its own proof is over already."""
    iruka, kakashi = keys_of(tmp_path, "iruka", "kakashi")
    kakashi.unpin(iruka.me)
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve() -> None:
            with pytest.raises(
                PartnerError, match="does not prove its key, or refuses ours: certificate verify failed"
            ):
                answer(kakashi, door.accept()[0])

        serving = threading.Thread(target=serve)
        serving.start()
        with pytest.raises(PartnerError, match="or refuses ours: tlsv1 alert unknown ca"):
            call(iruka, [f"127.0.0.1:{door.getsockname()[1]}"], kakashi.me)
        serving.join()


def test_a_word_of_the_other_side_is_refused(ends: tuple[Pipe, Pipe]) -> None:
    """A caller does not answer."""
    caller, answerer = ends
    caller.send(Want(()))
    with pytest.raises(PartnerError, match="could not be read"):
        answerer.receive()


def test_another_keeper_at_the_address_is_not_taken_for_the_partner(tmp_path: Path) -> None:
    """Also where it is a partner too."""
    iruka, kakashi, shino = keys_of(tmp_path, "iruka", "kakashi", "shino")
    with socket.create_server(("127.0.0.1", 0)) as door:

        def serve() -> None:
            with pytest.raises(PartnerUnreachable):
                answer(shino, door.accept()[0]).receive()

        serving = threading.Thread(target=serve)
        serving.start()
        with pytest.raises(PartnerError, match="another keeper"):
            call(iruka, [f"127.0.0.1:{door.getsockname()[1]}"], kakashi.me)
        serving.join()


def test_the_engine_is_where_it_is_sought(ends: tuple[Pipe, Pipe]) -> None:
    """A new pyOpenSSL that moves it costs speed: then this fails, and nothing else."""
    assert isinstance(ends[0]._tls, SSL.Connection)
    assert ends[0]._take.__name__ == "straight"

"""The carrier: the process that brings bytes from host to host, and holds what partners send.

    python -m goldthread.keeper.carrier HOME HOST FREE_BYTES CHECK_EVERY CHECK_SHARE

It listens at HOST (empty: at all of this machine's), and leaves FREE_BYTES of memory free whatever comes. What is held
is read again every CHECK_EVERY nanoseconds, at a CHECK_SHARE of a core.

It is a child of nobody, like the shim: it comes to the keeper's door by itself, outlives a dead keeper and hands the
next one what it holds, so the death of a keeper costs no copy. It does what the keeper tells it and decides nothing.
Its priority is lower than that of programs, and control never waits for it: beats go between keepers, on connections
of their own.

One thread hears the keeper; each connection to or from a partner has a thread of its own (`sending.py`,
`receiving.py`). What those have to say goes through the loop. An error that nobody thought of, in whichever of them,
ends the carrier with its story in the keeper's log: without that thread it would be here, and what the thread was for
would not be done. The keeper starts the next one and hands it all that is held.
"""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from logging.handlers import WatchedFileHandler
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Final, NoReturn

import msgspec

from goldthread.errors import GoldthreadError
from goldthread.keeper.guests import Guests
from goldthread.keeper.keys import Keys
from goldthread.keeper.log import write_log
from goldthread.keeper.loop import Loop
from goldthread.keeper.open_files import raise_limit
from goldthread.keeper.pipe import answer
from goldthread.keeper.receiving import Holdings, serve
from goldthread.keeper.sending import Sendings
from goldthread.local import Channel, Home, connect, keeper_starting
from goldthread.names import Instant, Span, milliseconds, seconds
from goldthread.wire import carrying
from goldthread.wire.messages import Refused

__all__ = ["main"]

log = logging.getLogger("goldthread.keeper")

_NICENESS: Final = 5
_RETRY: Final = milliseconds(50)
_KEEPER_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 0.2
_HOME_LOOK: Final = seconds(10)
_WAITING_MOST: Final = 64


class Carrier:
    def __init__(self, home: Home, host: str, free_bytes: int, check_every: Span, check_share: float) -> None:
        self._home = home
        self._check_every = check_every
        self._check_share = check_share
        self._loop = Loop()
        self._channel: Channel | None = None
        self._keeper_starting: subprocess.Popen[bytes] | None = None
        self._alone_since = monotonic()
        self._keys = Keys(home)
        self._holdings = Holdings(self._tell, free_bytes)
        self._sendings = Sendings(self._keys, self._tell)
        self._door = _open_door(home, host)
        self._guests = Guests()
        self._hear: dict[type[Any], Callable[[Any, list[int]], None]] = {
            carrying.KnowPartner: lambda known, _: self._sendings.know(known),
            carrying.ForgetPartner: self._forget_partner,
            carrying.CarryCommit: lambda order, held: self._sendings.carry(order, held[0]),
            carrying.OvertakeCommit: lambda order, _: self._sendings.overtake(order),
            carrying.AllowMember: self._allow,
            carrying.DropMember: lambda order, _: self._holdings.drop(order.partner, order.member),
            carrying.HoldCopySlot: self._hold,
            carrying.FetchChunks: lambda order, held: self._sendings.fetch(order, held[0]),
            carrying.CarryBundle: lambda order, _: self._sendings.carry_bundle(order),
            carrying.BundleTaken: lambda taken, _: self._holdings.bundle_taken(taken),
            carrying.EndCarrier: lambda _, __: self._loop.stop(),
            Refused: lambda refused, _: log.warning("the keeper refused its carrier: %s", refused.text),
        }

    def run(self) -> None:
        """Serve until the keeper says `EndCarrier`, or the home is gone."""
        threading.Thread(target=self._let_in, name="goldthread-door", daemon=True).start()
        self._seek_keeper()
        self._look_for_home()
        self._check_later()
        self._loop.run(_no_deadline, _nothing)

    # The keeper

    def _seek_keeper(self) -> None:
        """Connect and hand over what is held; where no keeper comes back by itself, start one."""
        if not self._home.path.exists():
            self._loop.stop()
            return
        try:
            channel = connect(self._home, "carrier")
        except GoldthreadError:
            starting = self._keeper_starting
            if starting is not None and starting.poll() is not None:
                self._keeper_starting = starting = None
                self._alone_since = monotonic()
            if starting is None and monotonic() - self._alone_since > _KEEPER_SECONDS:
                self._keeper_starting = keeper_starting(self._home)
            self._loop.after(_RETRY, self._seek_keeper)
            return
        self._channel = channel
        self._loop.watch(channel.fileno(), self._hear_keeper)
        for held in self._holdings.all():
            for place, descriptor in held.descriptors():
                self._say(carrying.CopySlotNote(place), [descriptor])
        self._say(carrying.CarrierNote(self._door.getsockname()[1]), [])

    def _hear_keeper(self) -> None:
        try:
            messages = self._channel.receive_some() if self._channel is not None else []
        except GoldthreadError:
            self._lose_keeper()
            return
        for message, descriptors in messages:
            self._hear[type(message)](message, descriptors)

    def _lose_keeper(self) -> None:
        if self._channel is not None:
            self._loop.unwatch(self._channel.fileno())
            self._channel.close()
            self._channel = None
            self._alone_since = monotonic()
            self._loop.after(Span(0), self._seek_keeper)

    def _tell(self, message: msgspec.Struct, descriptors: tuple[int, ...]) -> None:
        """From any thread. Without a keeper it is lost: the next one is handed what is held, and asks anew."""
        held = [os.dup(descriptor) for descriptor in descriptors]

        def say() -> None:
            self._say(message, held)
            for descriptor in held:
                os.close(descriptor)

        self._loop.from_thread(say)

    def _say(self, message: msgspec.Struct, descriptors: Sequence[int]) -> None:
        if self._channel is not None:
            try:
                self._channel.send(message, descriptors)
            except GoldthreadError:
                self._lose_keeper()

    def _look_for_home(self) -> None:
        if self._home.path.exists():
            self._loop.after(_HOME_LOOK, self._look_for_home)
        else:
            self._loop.stop()

    # What is held

    def _check_later(self) -> None:
        def failed(error: BaseException) -> None:
            if not isinstance(error, GoldthreadError | OSError):
                raise error
            log.warning("what is held could not be read again: %s", error)
            self._check_later()

        self._loop.after(self._check_every, lambda: self._loop.work(self._check, lambda _: self._check_later(), failed))

    def _check(self) -> None:
        """Read what is held again, one commit after the other, and say what is damaged."""
        for held in self._holdings.all():
            damaged = held.check(self._check_share)
            if damaged is not None:
                self._tell(carrying.CopyDamagedNote(*damaged), ())

    # What the keeper says

    def _forget_partner(self, order: carrying.ForgetPartner, _: list[int]) -> None:
        self._sendings.forget(order.partner)
        self._holdings.drop(order.partner)

    def _allow(self, order: carrying.AllowMember, _: list[int]) -> None:
        self._holdings.member(order.partner, order.member).allow(order.epoch, order.bytes_most)

    def _hold(self, order: carrying.HoldCopySlot, descriptors: list[int]) -> None:
        place = order.place
        self._holdings.member(place.partner, place.member).take_over(place.index, descriptors[0])

    # Partners

    def _let_in(self) -> None:
        """Give each partner that knocks a thread."""
        while True:
            try:
                stream, _ = self._door.accept()
            except OSError:
                # It went away again, or no descriptor is left for it. The others are served first.
                sleep(_PAUSE_SECONDS)
                continue
            if not self._guests.come(stream):
                stream.close()
                continue
            try:
                threading.Thread(target=self._serve, args=(stream,), name="goldthread-guest", daemon=True).start()
            except RuntimeError:  # The host allows no more threads now.
                self._guests.go(stream)
                stream.close()
                sleep(_PAUSE_SECONDS)

    def _serve(self, stream: socket.socket) -> None:
        try:
            pipe = answer(self._keys, stream)
            self._guests.prove(stream)
            serve(pipe, self._holdings)
        except (GoldthreadError, OSError) as error:
            log.info("a carrier was not let in: %s", error)
        finally:
            self._guests.go(stream)


def _open_door(home: Home, host: str) -> socket.socket:
    """Listen where the carrier before did, if that can be had: partners know the port."""
    noted = home.path / "carrier.port"
    try:
        before = int(noted.read_text())
    except (OSError, ValueError):
        before = 0
    try:
        door = _listen(host, before)
    except OSError:
        door = _listen(host, 0)
    with suppress(OSError):
        noted.write_text(f"{door.getsockname()[1]}\n")
    return door


def _listen(host: str, port: int) -> socket.socket:
    if not host and socket.has_dualstack_ipv6():
        return socket.create_server(("", port), family=socket.AF_INET6, backlog=_WAITING_MOST, dualstack_ipv6=True)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_WAITING_MOST)


def _no_deadline() -> Instant | None:
    return None


def _nothing() -> None:
    pass


def main(arguments: Sequence[str]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Whoever ends a session does not mean the copies. Handled, not ignored, since a keeper may be started here.
        signal.signal(number, lambda *_: None)
    home = Home(Path(arguments[0]))
    lock = os.open(home.path / "carrier.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # One lives, and comes to the door by itself.
    with suppress(OSError):
        os.nice(_NICENESS)
    raise_limit()
    # The keeper renames it when it is full, and what this process was given as output would be the old one then.
    write_log(WatchedFileHandler(home.log, delay=True), logging.WARNING)
    threading.excepthook = lambda ended: _stop(ended.exc_value)
    host, free_bytes, check_every, check_share = arguments[1:]
    try:
        Carrier(home, host, int(free_bytes), Span(int(check_every)), float(check_share)).run()
    except Exception as error:
        _stop(error)
    os._exit(0)  # Threads that wait for partners are not waited for.


def _stop(error: BaseException | None) -> NoReturn:
    """Tell the story of an error that nobody thought of, and end, whatever other threads do."""
    try:
        log.critical("the carrier met what must not be, and stops", exc_info=error)
    finally:
        os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])

"""A small keeper for tests of the links: a loop in a thread, real sockets, and a list of what was told.

Its machine is told nothing, so it decides nothing: tests give the orders, and see the events.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar, cast

from goldthread.errors import GoldthreadError
from goldthread.keeper.keeper import Keeper
from goldthread.keeper.keys import Keys, Partner
from goldthread.keeper.links import Links, LinkSettings
from goldthread.keeper.loop import Loop
from goldthread.local import Home
from goldthread.names import KeeperId, MemberName
from goldthread.policy import Policy
from goldthread.rules.bond_events import (
    BeatAnswered,
    BeatHeard,
    BondOver,
    BondTied,
    LinkLost,
    LinkUp,
    PartnersFound,
)
from goldthread.rules.bond_orders import AnswerBeat, SendBeat
from goldthread.rules.machine import Machine
from goldthread.terms import Terms

WAIT_SECONDS = 20.0

T = TypeVar("T")
E = TypeVar("E", LinkUp, LinkLost, BeatHeard, BeatAnswered, BondTied, BondOver, PartnersFound)


class StandIn:
    """What `Links` needs of a keeper, and one of it."""

    def __init__(
        self,
        folder: Path,
        name: str,
        listen: str = "127.0.0.1",
        addresses: tuple[str, ...] = (),
        circle: bytes = b"",
        neighbours: bool = False,
    ) -> None:
        self.home = Home(folder)
        self.home.make()
        self.keys = Keys(self.home, name)
        self.me: KeeperId = self.keys.me
        self._settings = LinkSettings(listen=listen, addresses=addresses, circle=circle, neighbours=neighbours)
        self.machine = Machine(Policy(), self.me)
        self.told: queue.Queue[Any] = queue.Queue()
        self.warned: queue.Queue[str] = queue.Queue()
        self._begin()

    def _begin(self) -> None:
        self.loop = Loop()
        self.links = Links(cast(Keeper, self), self.keys, self._settings)
        self._thread = threading.Thread(target=self.loop.run, args=(lambda: None, lambda: None))
        self._thread.start()

    # What Links uses

    def tell(self, event: Any) -> None:
        self.told.put(event)

    def warn(self, member: MemberName | None, text: str) -> None:
        self.warned.put(text)

    # What tests use

    def do(self, deed: Callable[[], T]) -> T:
        """In the loop."""
        done: Future[T] = Future()

        def call() -> None:
            try:
                done.set_result(deed())
            except BaseException as error:
                done.set_exception(error)

        self.loop.from_thread(call)
        return done.result(WAIT_SECONDS)

    def expect(self, kind: type[E]) -> E:
        """The next event of this kind; others before it are dropped."""
        while True:
            event = self.told.get(timeout=WAIT_SECONDS)
            if isinstance(event, kind):
                return event

    def open(self) -> None:
        self.do(self.links.open)

    def stop(self) -> None:
        """End, as a keeper does."""
        self.do(self.links.close)
        self.loop.from_thread(self.loop.stop)
        self._thread.join(WAIT_SECONDS)
        self.loop.close()

    def restart(self) -> None:
        self.stop()
        self._begin()
        self.open()

    def invite(self, terms: Terms | None = None) -> str:
        return self.do(lambda: self.links.invite(terms or Terms()))

    def accept(self, code: str, terms: Terms | None = None) -> Partner:
        """Raises what `failed` is called with."""
        done: Future[Partner] = Future()
        self.do(
            lambda: self.links.accept(
                code, terms or Terms(), lambda partner, _: done.set_result(partner), done.set_exception
            )
        )
        return done.result(WAIT_SECONDS)

    def refusal(self, code: str) -> GoldthreadError:
        """Why the code cannot be accepted."""
        try:
            self.accept(code)
        except GoldthreadError as error:
            return error
        raise AssertionError("the code was accepted")

    def rekey(self) -> None:
        """Raises what `failed` is called with."""
        done: Future[None] = Future()
        self.do(lambda: self.links.rekey(lambda: done.set_result(None), done.set_exception))
        done.result(WAIT_SECONDS)

    def beat(self, partner: KeeperId, number: int = 1, facts: Any = None) -> None:
        self.do(lambda: self.links.send_beat(SendBeat(partner, number, facts)))

    def answer(self, order: AnswerBeat) -> None:
        self.do(lambda: self.links.answer_beat(order))

    @property
    def port(self) -> int:
        return int((self.home.path / "port").read_text())


def tie(inviter: StandIn, accepter: StandIn) -> None:
    """Tie a bond, and wait for both links."""
    accepter.accept(inviter.invite())
    inviter.expect(LinkUp)
    accepter.expect(LinkUp)

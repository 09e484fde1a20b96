"""The pretended carrier of one host: it takes commits to partners, and keeps what partners' carriers bring.

It outlives the keeper. What comes lands chunk by chunk in one of two slots, so that a copy that comes by half never
costs a whole one; a transfer that was cut goes on where it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from goldthread.names import CommitId, Epoch, KeeperId, Level, MemberName, milliseconds
from goldthread.rules.bond_events import CommitHeld, CopiesGone, CopyLanded, ReplicateFailed
from goldthread.rules.events import Copy
from goldthread.rules.overtaking import may_overtake
from goldthread.sim.checker import hooks
from goldthread.sim.things import CHUNKS, COMMIT_BYTES, Slot, Work, newest_whole

if TYPE_CHECKING:
    from goldthread.sim.host import Host
    from goldthread.sim.place import Place

__all__ = ["Berth", "Carrier"]

_MS: Final = milliseconds(1)
_TRIES: Final = 8
_RETRY: Final = 150 * _MS


class Berth:
    """The room for one member of a partner."""

    def __init__(self) -> None:
        self.work: Work | None = None
        self.epoch = Epoch(0)
        """Commits of earlier lives are refused."""
        self.bytes_most = 0
        self.slots: list[Slot] = []
        self.arriving: tuple[CommitId, Slot, int] | None = None
        """Of which commit how many chunks have landed where."""

    @property
    def newest(self) -> CommitId | None:
        return newest_whole(self.slots)

    def refuses(self, commit: CommitId) -> str:
        """Why this commit may not come in; empty where it may."""
        if commit.epoch < self.epoch:
            return f"life {commit.epoch} is over: {self.epoch} is the first that may come in"
        return "" if self.bytes_most >= COMMIT_BYTES else f"{COMMIT_BYTES} bytes are more than {self.bytes_most}"

    def choose_slot(self, work: Work, commit: CommitId) -> Slot:
        """Any but the newest whole one."""
        newest = self.newest
        for slot in self.slots:
            if slot.commit is None or slot.commit != newest:
                return slot
        slot = Slot(work, commit.epoch, len(self.slots))
        self.slots.append(slot)
        return slot


class Push:
    """A commit on its way to a partner."""

    def __init__(
        self, keeper: int, place: Place, slot: Slot, commit: CommitId, partner: KeeperId, in_vain: int
    ) -> None:
        """`in_vain`: chunks that went for others, which were given up for this one."""
        self.keeper = keeper
        self.place = place
        self.slot = slot
        self.commit = commit
        self.partner = partner
        self.in_vain = in_vain
        self.sent = 0
        self.tries = 0
        slot.is_carried = True


class Carrier:
    def __init__(self, host: Host) -> None:
        self._host = host
        self.berths: dict[tuple[KeeperId, MemberName], Berth] = {}
        self._lost: dict[tuple[KeeperId, MemberName], str] = {}
        """What a next keeper must be told is gone."""
        self._newest: dict[tuple[KeeperId, MemberName], CommitId] = {}
        """Of those that are known to be sealed, while one goes there."""
        checkers = host.world.checkers
        self._before_landing = hooks(checkers, "before_landing")
        self._after_landing = hooks(checkers, "after_landing")

    # The owner's side

    def replicate(self, place: Place, commit: CommitId, partner: KeeperId) -> None:
        self._newest[partner, place.name] = commit
        self._push(place, commit, partner)

    def _push(self, place: Place, commit: CommitId, partner: KeeperId, in_vain: int = 0) -> None:
        """Bring this commit, or the newest of its life, to the partner."""
        sealed = [slot for slot in place.shelf if slot.commit is not None and slot.epoch == commit.epoch]
        slot = max(sealed, key=lambda slot: slot.commit or commit, default=None)
        if slot is None or slot.commit is None:
            self._fail(place, partner, "no slot holds it")
            return
        push = Push(self._host.generation, place, slot, slot.commit, partner, in_vain)
        self._host.after(self._pace(), self._push_chunk, push)

    def overtake(self, partner: KeeperId, member: MemberName, commit: CommitId) -> None:
        self._newest[partner, member] = commit

    def _pace(self) -> float:
        return self._host.random.randint(1, 20) * _MS

    def _push_chunk(self, push: Push) -> None:
        """The next chunk that the partner has not got."""
        world, host, place = self._host.world, self._host, push.place
        if not host.is_up or push.slot.commit != push.commit:
            push.slot.is_carried = False
            return
        other = world.hosts[push.partner]
        newest = self._newest[push.partner, place.name]
        if newest > push.commit and may_overtake(push.sent, push.in_vain, CHUNKS):
            push.slot.is_carried = False
            if push.keeper == host.generation:
                self._push(place, newest, push.partner, push.in_vain + push.sent)
        elif not world.network.reaches(host, other) or other.awake_at > world.now:
            if push.tries < _TRIES:
                push.tries += 1
                host.after(_RETRY, self._push_chunk, push)
            else:
                self._fail(place, push.partner, "the connection was cut", push.slot)
        elif refusal := other.carrier.receive(host.me, push.slot, push.commit):
            self._fail(place, push.partner, refusal, push.slot)
        elif other.carrier.has(host.me, place.name, push.commit):
            push.slot.is_carried = False
            if push.keeper == host.generation:
                answer = CommitHeld(place.name, push.partner, push.commit, is_read=push.sent == CHUNKS - 1)
                host.keeper_after(world.network.delay(), host.give, answer)
        else:
            push.sent += 1
            host.after(self._pace(), self._push_chunk, push)

    def _fail(self, place: Place, partner: KeeperId, text: str, slot: Slot | None = None) -> None:
        if slot is not None:
            slot.is_carried = False
        failed = ReplicateFailed(place.name, partner, text, damaged=text.endswith("is not what was sealed"))
        self._host.keeper_after(self._pace(), self._host.give, failed)

    # The holder's side

    def allow(self, partner: KeeperId, member: MemberName, epoch: Epoch, bytes_most: int) -> None:
        berth = self.berths.setdefault((partner, member), Berth())
        berth.epoch, berth.bytes_most = epoch, bytes_most

    def has(self, partner: KeeperId, member: MemberName, commit: CommitId) -> bool:
        berth = self.berths.get((partner, member))
        return berth is not None and berth.newest == commit

    def receive(self, partner: KeeperId, source: Slot, commit: CommitId) -> str:
        """Take one chunk more of this commit, or say why not."""
        member = source.work.name
        berth = self.berths.get((partner, member))
        if berth is None or partner not in self._host.partners:
            return f"{member} is not held here"
        refusal = berth.refuses(commit)
        if refusal or self.has(partner, member, commit):
            return refusal
        if berth.arriving is None or berth.arriving[0] != commit:
            slot = berth.choose_slot(source.work, commit)
            for before_landing in self._before_landing:
                before_landing(self._host, berth, slot)
            slot.work, slot.epoch, slot.commit, slot.flipped_at = source.work, commit.epoch, None, None
            slot.tainted = source.tainted
            berth.work = source.work
            berth.arriving = (commit, slot, 0)
        _, slot, landed = berth.arriving
        if source.chunks[landed] != source.work.token(commit):
            berth.arriving = None
            return f"chunk {landed} is not what was sealed"
        slot.chunks[landed] = source.chunks[landed]
        berth.arriving = (commit, slot, landed + 1)
        if landed + 1 == CHUNKS:
            berth.arriving = None
            slot.commit = commit
            self._landed(partner, member, slot, commit)
        return ""

    def _landed(self, partner: KeeperId, member: MemberName, slot: Slot, commit: CommitId) -> None:
        host = self._host
        for after_landing in self._after_landing:
            after_landing(host, host.world.hosts[partner], slot, commit)
        if host.is_keeper_up:
            copy = Copy(commit, Level.HELD, COMMIT_BYTES)
            host.keeper_after(host.random.randint(0, 5) * _MS, host.give, CopyLanded(partner, member, copy))

    def drop(self, partner: KeeperId, member: MemberName) -> Berth | None:
        self._lost.pop((partner, member), None)
        return self.berths.pop((partner, member), None)

    # Its life

    def die(self) -> None:
        """The carrier dies, and with it what it kept, one by one: what the keeper makes its own meanwhile it has."""
        for key in list(self.berths):
            if self.berths.pop(key, None) is not None:
                self._lost[key] = "the carrier died"
            if self._host.is_keeper_up:
                self._tell_loss()

    def lose_memory(self) -> None:
        """The host goes down; the next keeper knows that by itself."""
        self.berths = {}
        self._lost = {}

    def return_to_keeper(self) -> None:
        """A new keeper hears what is here, and what is not any more. What its journal says and nothing hands over is
        lost, after a while."""
        host = self._host
        known = [key for key, record in host.journal.helds.items() if record.commit is not None]
        host.keeper_after(host.policy.return_grace, self._look_for, known)
        self._tell_loss()
        for (partner, member), berth in list(self.berths.items()):
            newest = berth.newest
            if newest is not None:
                self._host.give(CopyLanded(partner, member, Copy(newest, Level.HELD, COMMIT_BYTES)))

    def _look_for(self, known: list[tuple[KeeperId, MemberName]]) -> None:
        for partner, member in known:
            berth = self.berths.get((partner, member))
            if berth is None or berth.newest is None:
                self._host.give(CopiesGone(partner, member, "the processes that held it are gone"))

    def _tell_loss(self) -> None:
        lost, self._lost = self._lost, {}
        for (partner, member), text in lost.items():
            self._host.give(CopiesGone(partner, member, text))

"""Mending: a damaged commit is made whole again, chunk by chunk, from every copy of it that there is.

The holes are filled where they are, in the slot itself: its program, its shim and this keeper go on holding the same
memory, and what is whole is not copied. That is safe at every instant, since checksums decide what is whole and
nobody's word: a chunk that is half written is as damaged as it was. The slot is pinned for writing meanwhile, so nobody
reads it. Where the slot is gone, or somebody reads it, the commit is made in a fresh slot. What must come from the
partner is fetched while nothing is pinned: no program ever waits for the network.

An attempt knows nothing of the one before: it looks at what is at hand, and either makes the commit whole or says what
is missing. So the same attempt is made again when the missing chunks have come, whatever happened meanwhile.

Rejected: a fresh slot in every case. A program would go on with the damaged one, and its next commit there would keep
every damaged chunk that it did not change.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from itertools import count
from typing import Final, Protocol

from goldthread.errors import GoldthreadError
from goldthread.keeper.keeper import Keeper
from goldthread.keeper.memory import give_slot
from goldthread.keeper.patchwork import Source, fill_holes, survey
from goldthread.names import CommitId, KeeperId, MemberName
from goldthread.rules.bond_events import CopyMended
from goldthread.rules.bond_orders import MendCopy
from goldthread.rules.repair import Repair
from goldthread.slots.kernel import memory_file
from goldthread.slots.pins import open_for_pins, pin_for_reading, pin_for_writing, unpin
from goldthread.wire.messages import HoldSlot

__all__ = ["Fetcher", "Mender"]

_OWN_MEMORY: Final = "own memory"
_THE_VAULT: Final = "the vault"
_IMAGE_BYTES_MOST: Final = 1 << 40
"""The length of the file for a proof of unknown length. Only what is written into it takes memory."""
_ASKED_MOST: Final = 8
"""How often the partner is asked for the sake of one commit."""


class Fetcher(Protocol):
    """Who brings chunks from a partner."""

    def fetch(
        self,
        partner: KeeperId,
        member: MemberName,
        commit: CommitId,
        chunks: tuple[int, ...] | None,
        descriptor: int,
        done: Callable[[tuple[int, ...]], None],
        failed: Callable[[GoldthreadError], None],
    ) -> None:
        """Get these chunks of the partner's copy, each to its place in the file; then `done` with those that came.

        Where `chunks` is None, get the first page, manifest and table instead."""


class Mender:
    """Carries out `MendCopy`."""

    def __init__(self, keeper: Keeper, fetcher: Fetcher, name_of: Callable[[KeeperId], str]) -> None:
        self._keeper = keeper
        self._fetcher = fetcher
        self._name_of = name_of

    def mend(self, order: MendCopy) -> None:
        partner = "" if order.partner is None else self._name_of(order.partner)
        self._attempt(_Mending(self._keeper, order, partner))

    def _attempt(self, mending: _Mending) -> None:
        self._keeper.loop.work(
            mending.attempt,
            lambda repair: self._go_on(mending, repair),
            lambda error: self._give_up(mending, str(error)),
        )

    def _go_on(self, mending: _Mending, repair: Repair | None) -> None:
        """After an attempt: the commit is whole, or the partner is asked for what is missing, which is never again
        the same."""
        partner = mending.order.partner
        missing = None if repair is None else repair.missing
        if repair is not None and not missing:
            self._end(mending, repair)
        elif partner is not None and missing not in mending.asked and len(mending.asked) < _ASKED_MOST:
            self._fetch(mending, partner, missing)
        else:
            self._give_up(mending, "no copy has a whole header, manifest and table" if repair is None else repair.text)

    def _fetch(self, mending: _Mending, partner: KeeperId, missing: tuple[int, ...] | None) -> None:
        order = mending.order

        def failed(error: BaseException) -> None:
            self._give_up(mending, f"{mending.partner} was asked for what is missing: {error}")

        def done(landed: tuple[int, ...]) -> None:
            mending.take(landed)
            self._attempt(mending)

        def ask(target: int) -> None:
            self._fetcher.fetch(partner, order.member, order.commit, missing, target, done, failed)

        mending.asked.append(missing)
        self._keeper.loop.work(lambda: mending.make_room(missing), ask, failed)

    def _end(self, mending: _Mending, repair: Repair) -> None:
        order, fresh = mending.order, mending.take_fresh()
        if fresh is not None:
            self._put(order.member, order.commit, fresh)
        mending.close()
        self._keeper.tell(CopyMended(order.member, order.commit, True, repair.patches, repair.text))

    def _give_up(self, mending: _Mending, text: str) -> None:
        mending.close()
        self._keeper.tell(CopyMended(mending.order.member, mending.order.commit, False, (), text))

    def _put(self, member: MemberName, commit: CommitId, fresh: int) -> None:
        """Lay a mended commit on the shelf, beside the slots that its program has."""
        shelf, shim = self._keeper.shelf, self._keeper.ward(member).shim
        taken = shelf.slots(member)
        first = self._keeper.policy.slots_per_member + 1  # The program may ask for a spare one.
        index = next(index for index in count(first) if (commit.epoch, index) not in taken)
        if shim is not None:
            shim.send(HoldSlot(commit.epoch, index), [fresh])
        shelf.put(member, commit.epoch, index, fresh)


class _Mending:
    """One commit that is being made whole. Its files are opened and closed in the loop's thread."""

    def __init__(self, keeper: Keeper, order: MendCopy, partner: str) -> None:
        self._keeper = keeper
        self.order = order
        self.partner = partner
        self.asked: list[tuple[int, ...] | None] = []
        """What the partner was asked for; None: for a proof."""
        self._landed: set[int] = set()
        self._proof: int | None = None
        """Where a fetched proof goes."""
        self._scratch: int | None = None
        """Where fetched chunks go."""
        self._fresh: int | None = None
        """The slot that was made for want of one that can be mended."""
        self._size = 0
        """Of the whole image, as soon as a proof is known."""
        own = keeper.shelf.find(order.member, order.commit)
        slots = sorted(keeper.shelf.slots(order.member).values(), key=lambda slot: slot is not own)
        self._slots = [open_for_pins(slot.descriptor, writing=True) for slot in slots]
        self._has_own = own is not None
        """The first of the slots holds the commit."""

    def attempt(self) -> Repair | None:
        """Make the commit whole from what is at hand, unless chunks are missing; None where no proof is at hand."""
        with ExitStack() as cleanup:
            target, sources = self._pin(cleanup)
            sources += self._vault(cleanup)
            if self._scratch is not None:
                sources.append(Source(self.partner, self._scratch, self._landed))
            if self._proof is not None:
                sources.append(Source(self.partner, self._proof, only=()))
            found = survey(sources, self.order.member, self.order.commit)
            if found is None:
                return None
            proof, repair = found
            self._size = proof.header.image_bytes
            if not repair.missing:
                fill_holes(self._make_fresh() if target is None else target, proof, sources, repair)
            return repair

    def make_room(self, missing: tuple[int, ...] | None) -> int:
        """Where what is fetched goes. Beside the slot it takes no more memory than what is written into it."""
        name = f"goldthread-{self.order.member}"
        if missing is None:
            self._proof = memory_file(name, _IMAGE_BYTES_MOST)
            return self._proof
        if self._scratch is None:
            self._scratch = memory_file(name, self._size) if self._has_own else self._make_fresh()
        return self._scratch

    def take(self, landed: tuple[int, ...]) -> None:
        """What was asked for last has come."""
        self._landed |= set(landed)

    def take_fresh(self) -> int | None:
        fresh, self._fresh = self._fresh, None
        if fresh is not None and fresh == self._scratch:
            self._scratch = None
        return fresh

    def close(self) -> None:
        made = {self._proof, self._scratch, self._fresh}
        for descriptor in (*self._slots, *made):
            if descriptor is not None:
                os.close(descriptor)

    def _make_fresh(self) -> int:
        if self._fresh is None:
            self._fresh = give_slot(self.order.member, self._size, self._keeper.policy.memory_free_bytes)
        return self._fresh

    def _pin(self, cleanup: ExitStack) -> tuple[int | None, list[Source]]:
        """The slot in which the commit still lies, if nobody reads it; and every slot that may lend chunks, since what
        has the checksum is the chunk, wherever it lies. A slot that its program writes into lends nothing."""
        target, sources = None, []
        for number, slot in enumerate(self._slots):
            source = Source(_OWN_MEMORY, slot)
            if number == 0 and self._has_own and pin_for_writing(slot):
                header = source.header()
                target = slot if header is not None and header.commit == self.order.commit else None
            elif not pin_for_reading(slot):
                continue
            cleanup.callback(unpin, slot)
            sources.append(source)
        return target, sources

    def _vault(self, cleanup: ExitStack) -> list[Source]:
        """The deposits of the commit, also those that were set aside."""
        lent = self._keeper.vault.lend(self.order.member, self.order.commit)
        for descriptor in lent:
            cleanup.callback(os.close, descriptor)
        return [Source(_THE_VAULT, descriptor) for descriptor in lent]

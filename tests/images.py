"""Commits made for tests: a writer with slots of its own, and what it sealed."""

from __future__ import annotations

from typing import Any

from goldthread.names import Epoch, MemberName, Step
from goldthread.program.writer import Writer
from goldthread.slots.slot import make_slot
from goldthread.state.restore import read
from goldthread.wire.image import Header, read_header

MEMBER = MemberName("walk")


def new_writer(*, slots_most: int = 3, pickle: bool = False) -> Writer:
    return Writer(MEMBER, Epoch(1), slots_most=slots_most, new_slot=fresh_slot, pickle=pickle)


def fresh_slot(index: int, size: int) -> int:
    return make_slot(f"test-{index}", size)


def sealed(writer: Writer) -> dict[Header, memoryview]:
    """Every sealed image of a writer, oldest first."""
    found = [(read_header(slot.image), slot.image) for slot in writer.slots.values()]
    return {header: image for header, image in sorted(found, key=lambda one: _sequence(one[0])) if header is not None}


def _sequence(header: Header | None) -> int:
    return 0 if header is None else header.sequence


def newest_image(writer: Writer) -> memoryview:
    return list(sealed(writer).values())[-1][:]


def image_of(state: object, *, pickle: bool = False) -> memoryview:
    """The image of one commit; its memory lives as long as the view."""
    writer = new_writer(pickle=pickle)
    writer.write(state, Step(0), generators=False)
    image = newest_image(writer)
    writer.close()
    return image


def round_trip(state: object, *, pickle: bool = False) -> Any:
    return read(image_of(state, pickle=pickle), map=False, pickle=pickle)

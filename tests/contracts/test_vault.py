"""What every vault must do. A new store is added to `vault`, and passes all of this."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from goldthread.errors import CommitDamaged, NothingToRestore
from goldthread.names import CommitId, Epoch, Level, MemberName, Step
from goldthread.rules.events import Copy
from goldthread.vault.base import Vault
from goldthread.vault.disk import DiskVault
from goldthread.wire.image import HEADER_BYTES, SEAL_AT, Header, checksum, damaged_chunks, pack_header, read_header

WALK = MemberName("walk")
RUN = MemberName("run")
CHUNK_BYTES = 4096

Flip = Callable[[MemberName, CommitId, int], None]
"""Flip one bit of a deposit, past the vault, at a byte of the image."""


def image_of(
    member: MemberName = WALK, epoch: int = 1, step: int = 10, sequence: int = 1, payload: bytes | None = None
) -> memoryview:
    """A sealed image as it lies in a slot, which is longer than the image."""
    if payload is None:
        payload = random.Random(sequence).randbytes(5 * CHUNK_BYTES + 17)
    manifest = f"the manifest of {member}".encode()
    header = Header(member, Epoch(epoch), Step(step), sequence, len(payload), len(manifest), CHUNK_BYTES)
    table = b"".join(checksum(payload[at : at + CHUNK_BYTES]) for at in range(0, len(payload), CHUNK_BYTES))
    slot = bytearray(header.image_bytes + 3 * HEADER_BYTES)
    slot[: header.image_bytes] = (
        pack_header(header, manifest, table).ljust(HEADER_BYTES, b"\0") + payload + manifest + table
    )
    slot[SEAL_AT : SEAL_AT + 8] = sequence.to_bytes(8, "little")
    return memoryview(slot)


def commit_of(image: memoryview) -> CommitId:
    header = read_header(image)
    assert header is not None
    return header.commit


def read_all(vault: Vault, member: MemberName, commit: CommitId) -> bytes:
    with os.fdopen(vault.open(member, commit), "rb") as file:
        return file.read()


@pytest.fixture(params=["disk"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Vault, Flip]:
    assert request.param == "disk"
    folder = tmp_path / "a home" / "vault"

    def flip(member: MemberName, commit: CommitId, at: int) -> None:
        path = folder / member / f"{commit.epoch}-{commit.sequence}-{commit.step}.commit"
        with path.open("r+b") as file:
            file.seek(at)
            byte = file.read(1)[0]
            file.seek(at)
            file.write(bytes([byte ^ 4]))

    return DiskVault(folder, free_bytes=0), flip


@pytest.fixture
def vault(store: tuple[Vault, Flip]) -> Vault:
    return store[0]


@pytest.fixture
def flip(store: tuple[Vault, Flip]) -> Flip:
    return store[1]


def test_an_empty_vault_holds_nothing(vault: Vault) -> None:
    """Asking for what was never there is no error."""
    assert vault.members() == ()
    assert vault.list(WALK).copies == ()
    vault.trim(WALK, ())
    vault.forget(WALK)


def test_a_deposit_is_the_image_byte_for_byte(vault: Vault) -> None:
    """What comes out is what was sealed, without the rest of the slot."""
    image = image_of()
    commit = vault.deposit(WALK, image)
    assert commit == commit_of(image)
    kept = memoryview(read_all(vault, WALK, commit))
    header = read_header(kept)
    assert header is not None
    assert kept == image[: header.image_bytes]
    assert damaged_chunks(kept, header) == []
    assert vault.check(WALK, commit) == ""
    assert vault.members() == (WALK,)


def test_a_deposit_is_no_larger_than_its_image(vault: Vault) -> None:
    """The slot may have been made for more."""
    image = image_of()
    header = read_header(image)
    assert header is not None
    assert len(read_all(vault, WALK, vault.deposit(WALK, image))) == header.image_bytes < len(image)


def test_a_state_without_arrays_can_be_deposited(vault: Vault) -> None:
    """A payload may be empty."""
    commit = vault.deposit(WALK, image_of(payload=b""))
    assert vault.check(WALK, commit) == ""


def test_deposits_are_listed_oldest_first(vault: Vault) -> None:
    """The order is that of the commits, not of the names nor of the deposits."""
    images = [image_of(epoch=epoch, step=step, sequence=n) for epoch, step, n in ((2, 9, 1), (1, 100, 10), (1, 20, 9))]
    for image in images:
        vault.deposit(WALK, image)
    listing = vault.list(WALK)
    assert [copy.commit for copy in listing.copies] == [commit_of(image) for image in reversed(images)]
    assert {copy.level for copy in listing.copies} == {Level.DEPOSITED}
    header = read_header(images[2])
    assert header is not None
    assert listing.copies[0] == Copy(header.commit, Level.DEPOSITED, header.image_bytes)
    assert listing.damaged == ()


def test_the_same_commit_can_be_deposited_again(vault: Vault) -> None:
    """The second deposit takes the place of the first."""
    commit = vault.deposit(WALK, image_of())
    assert vault.deposit(WALK, image_of()) == commit
    assert len(vault.list(WALK).copies) == 1


def test_an_open_image_is_refused(vault: Vault) -> None:
    """A writer is still at it."""
    image = image_of()
    image[SEAL_AT : SEAL_AT + 8] = bytes(8)
    with pytest.raises(CommitDamaged, match="never sealed"):
        vault.deposit(WALK, image)
    assert vault.list(WALK).copies == ()


def test_another_members_image_is_refused(vault: Vault) -> None:
    """No member ever resumes another's state."""
    with pytest.raises(CommitDamaged, match="is run's"):
        vault.deposit(WALK, image_of(RUN))
    assert vault.members() == ()


@pytest.mark.parametrize("at", [HEADER_BYTES, HEADER_BYTES + 3 * CHUNK_BYTES + 5], ids=["first chunk", "middle"])
def test_a_damaged_slot_is_not_deposited(vault: Vault, at: int) -> None:
    """A flipped bit in the slot is noticed on the way, and the deposits that are there stay."""
    before = vault.deposit(WALK, image_of(sequence=1))
    image = image_of(sequence=2)
    image[at] ^= 1
    with pytest.raises(CommitDamaged, match="chunk"):
        vault.deposit(WALK, image)
    assert [copy.commit for copy in vault.list(WALK).copies] == [before]


@pytest.mark.parametrize("at", [0, 40, 100, SEAL_AT, 230], ids=["magic", "length", "member", "seal", "root"])
def test_a_deposit_with_a_damaged_header_is_set_aside(vault: Vault, flip: Flip, at: int) -> None:
    """It is never listed as whole, it is said, and the others are still there."""
    damaged = vault.deposit(WALK, image_of(sequence=2))
    whole = vault.deposit(WALK, image_of(sequence=1))
    flip(WALK, damaged, at)
    listing = vault.list(WALK)
    assert [copy.commit for copy in listing.copies] == [whole]
    assert len(listing.damaged) == 1
    assert vault.list(WALK).damaged == ()


@pytest.mark.parametrize("back", [3, 100], ids=["table", "manifest"])
def test_a_deposit_with_a_damaged_manifest_or_table_is_set_aside(vault: Vault, flip: Flip, back: int) -> None:
    """The root vouches for them."""
    image = image_of()
    header = read_header(image)
    assert header is not None
    commit = vault.deposit(WALK, image)
    flip(WALK, commit, header.image_bytes - back)
    with pytest.raises(CommitDamaged):
        vault.open(WALK, commit)
    assert "damaged" in vault.check(WALK, commit)
    assert vault.list(WALK).copies == ()


def test_damage_in_the_payload_is_found_by_check(vault: Vault, flip: Flip) -> None:
    """Listing does not read the payload, `check` reads all of it, says how much is damaged, and sets it aside."""
    commit = vault.deposit(WALK, image_of())
    flip(WALK, commit, HEADER_BYTES + CHUNK_BYTES)
    flip(WALK, commit, HEADER_BYTES + 5 * CHUNK_BYTES + 16)
    assert len(vault.list(WALK).copies) == 1
    assert vault.check(WALK, commit).startswith(
        "2 of 6 chunks of step 10 of life 1 of walk are damaged; it was set aside"
    )
    assert vault.list(WALK).copies == ()


def test_what_is_set_aside_is_never_listed_again(vault: Vault) -> None:
    """It stays for whoever wants to look at it, also when the same commit is damaged twice."""
    commit = vault.deposit(WALK, image_of())
    names = {vault.set_aside(WALK, commit)}
    assert vault.list(WALK).copies == ()
    assert vault.deposit(WALK, image_of()) == commit
    names.add(vault.set_aside(WALK, commit))
    assert len(names) == 2
    vault.trim(WALK, ())
    assert vault.list(WALK).copies == ()


def test_a_deposit_that_was_set_aside_still_lends_its_chunks(vault: Vault, flip: Flip) -> None:
    """Every file of the commit is lent, whole or not; of a commit that was never deposited none is."""
    image = image_of()
    commit = vault.deposit(WALK, image)
    flip(WALK, commit, HEADER_BYTES + CHUNK_BYTES + 1)
    vault.check(WALK, commit)
    vault.deposit(WALK, image)
    lent = vault.lend(WALK, commit)
    third = HEADER_BYTES + 2 * CHUNK_BYTES
    read = [os.pread(descriptor, CHUNK_BYTES, third) for descriptor in lent]
    for descriptor in lent:
        os.close(descriptor)
    assert read == [image[third : third + CHUNK_BYTES]] * 2
    assert vault.lend(WALK, commit_of(image_of(sequence=2))) == ()


def test_trim_removes_all_but_what_is_named(vault: Vault) -> None:
    """What another member has is not touched."""
    commits = [vault.deposit(WALK, image_of(sequence=n, step=n)) for n in range(1, 6)]
    other = vault.deposit(RUN, image_of(RUN))
    vault.trim(WALK, commits[2:])
    assert [copy.commit for copy in vault.list(WALK).copies] == commits[2:]
    assert [copy.commit for copy in vault.list(RUN).copies] == [other]


def test_a_removed_deposit_can_be_read_to_its_end(vault: Vault) -> None:
    """Who has opened a deposit keeps it."""
    image = image_of()
    commit = vault.deposit(WALK, image)
    with os.fdopen(vault.open(WALK, commit), "rb") as file:
        vault.forget(WALK)
        kept = file.read()
    assert kept == image[: len(kept)]
    assert damaged_chunks(image, read_header(image) or pytest.fail()) == []


def test_forget_leaves_nothing(vault: Vault, flip: Flip) -> None:
    """Nor what was set aside."""
    flip(WALK, vault.deposit(WALK, image_of()), 0)
    vault.list(WALK)
    vault.deposit(WALK, image_of())
    vault.deposit(RUN, image_of(RUN))
    vault.forget(WALK)
    assert vault.members() == (RUN,)
    assert vault.list(WALK).copies == ()


def test_what_is_not_there_cannot_be_read(vault: Vault) -> None:
    """It is said so, in terms of steps and lives."""
    vault.deposit(WALK, image_of())
    absent = CommitId(Epoch(3), Step(7), 1)
    with pytest.raises(NothingToRestore, match="walk has no deposit of step 7 of life 3"):
        vault.open(WALK, absent)
    with pytest.raises(NothingToRestore):
        vault.check(WALK, absent)

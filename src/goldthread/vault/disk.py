"""A vault on a disk: one file for each deposit, `FOLDER/MEMBER/EPOCH-SEQUENCE-STEP.commit`.

A file appears under its name only when all of it is on the disk: it is written beside it, synced, renamed, and the
folder synced. So a crash leaves a leftover with another name, never half a deposit. The bytes are written in pieces
with a sync every few, so that a deposit of many gigabytes neither fills the memory with unwritten pages nor drives
out what the program has in it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from pathlib import Path
from typing import Final

from goldthread.errors import CommitDamaged, KeeperError, NoRoom, NothingToRestore, UsageError
from goldthread.names import CommitId, Epoch, Level, MemberName, Step, member_name
from goldthread.rules.events import Copy
from goldthread.vault.base import Listing
from goldthread.wire.image import CHECKSUM_BYTES, HEADER_BYTES, Header, checksum, peek_header, read_header

__all__ = ["DiskVault"]

_NAME: Final = re.compile(r"(\d{1,20})-(\d{1,20})-(\d{1,20})\.commit")
_LEFTOVER: Final = ".being-written"
_PIECE_BYTES: Final = 4 << 20
_SYNC_BYTES: Final = 64 << 20
_ASIDE_MOST: Final = 1000
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class DiskVault:
    """See `Vault`. The folder and each member's are made at the first deposit, for their user alone."""

    def __init__(self, folder: Path, free_bytes: int) -> None:
        """A deposit that would leave less than `free_bytes` free on the disk is refused."""
        self.folder = folder
        self._free_bytes = free_bytes

    def clear_leftovers(self) -> int:
        """Remove what a keeper that died while it wrote left behind, and say how many files that were.

        For the one keeper of this vault, when it starts."""
        leftovers = list(self.folder.glob(f"*/*{_LEFTOVER}"))
        for leftover in leftovers:
            leftover.unlink(missing_ok=True)
        return len(leftovers)

    def deposit(self, member: MemberName, image: memoryview) -> CommitId:
        header = _read_header_of(member, image)
        target = self._path(member, header.commit)
        leftover = target.with_name(target.name + _LEFTOVER)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            target.parent.mkdir(mode=0o700, exist_ok=True)
            self._refuse_without_room(header)
            try:
                _write_checked(leftover, image, header)
                leftover.rename(target)
                _sync_folder(target.parent)
            except BaseException:
                leftover.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise self._error_of(error, header) from error
        return header.commit

    def list(self, member: MemberName) -> Listing:
        copies, damaged = [], []
        for commit in self._names(member):
            try:
                with self._opened(member, commit) as (_, header):
                    copies.append(Copy(commit, Level.DEPOSITED, header.image_bytes))
            except CommitDamaged as error:
                damaged.append(f"{error}; it was set aside as {self.set_aside(member, commit)}")
            except NothingToRestore:
                continue  # It was trimmed while we looked.
        return Listing(tuple(copies), tuple(damaged))

    def deposited_at(self, member: MemberName, commit: CommitId) -> tuple[float, int] | None:
        """When a deposit was made, as wall time, and its length in bytes; None where it is not there."""
        try:
            found = self._path(member, commit).stat()
        except OSError:
            return None
        return found.st_mtime, found.st_size

    def open(self, member: MemberName, commit: CommitId) -> int:
        with self._opened(member, commit) as (descriptor, _):
            return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 0)

    def lend(self, member: MemberName, commit: CommitId) -> tuple[int, ...]:
        deposit = self._path(member, commit)
        lent = []
        for path in (deposit, *sorted(deposit.parent.glob(f"{deposit.name}.damaged*"))):
            with suppress(OSError):  # What cannot be opened lends nothing.
                lent.append(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        return tuple(lent)

    def check(self, member: MemberName, commit: CommitId) -> str:
        try:
            with self._opened(member, commit) as (descriptor, header):
                _check_payload(descriptor, header)
        except CommitDamaged as error:
            return f"{error}; it was set aside as {self.set_aside(member, commit)}"
        return ""

    def trim(self, member: MemberName, keep: Collection[CommitId]) -> None:
        with self._in_use("trimmed", member):
            for commit in self._names(member):
                if commit not in keep:
                    self._path(member, commit).unlink(missing_ok=True)

    def set_aside(self, member: MemberName, commit: CommitId) -> str:
        source = self._path(member, commit)
        names = (f"{source.name}.damaged{f'-{count}' if count else ''}" for count in range(_ASIDE_MOST))
        target = next((source.with_name(name) for name in names if not source.with_name(name).exists()), None)
        if target is None:
            raise KeeperError(f"{source.name} of {member} is damaged once too often", hint=f"look at {source.parent}")
        with self._in_use("set aside", member), suppress(FileNotFoundError):
            source.rename(target)
        return target.name

    def forget(self, member: MemberName) -> None:
        with self._in_use("removed", member), suppress(FileNotFoundError):
            shutil.rmtree(self.folder / member)

    def members(self) -> tuple[MemberName, ...]:
        found = []
        for folder in sorted(self.folder.glob("*/")):
            try:
                name = member_name(folder.name)
            except UsageError:
                continue  # Not a folder of ours.
            if self._names(name):
                found.append(name)
        return tuple(found)

    def _path(self, member: MemberName, commit: CommitId) -> Path:
        return self.folder / member / f"{commit.epoch}-{commit.sequence}-{commit.step}.commit"

    def _names(self, member: MemberName) -> tuple[CommitId, ...]:
        """What the names of the files say, oldest first."""
        folder = self.folder / member
        found = [_NAME.fullmatch(entry.name) for entry in folder.iterdir()] if folder.is_dir() else []
        numbers = sorted(tuple(map(int, match.groups())) for match in found if match)
        return tuple(CommitId(Epoch(epoch), Step(step), sequence) for epoch, sequence, step in numbers)

    @contextmanager
    def _opened(self, member: MemberName, commit: CommitId) -> Iterator[tuple[int, Header]]:
        """A deposit, open for reading, whose header, manifest and table are whole, and this commit's of this member."""
        path = self._path(member, commit)
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NothingToRestore(f"{member} has no deposit of {commit}") from None
        except OSError as error:
            raise KeeperError(f"the deposit {path} cannot be read: {error.strerror}") from error
        try:
            header = _read_deposit_header(descriptor, member)
            if header.commit != commit:
                raise CommitDamaged(f"the deposit {path.name} of {member} holds {header.commit}, not {commit}")
            yield descriptor, header
        except OSError as error:
            kind = CommitDamaged if error.errno == errno.EIO else KeeperError
            raise kind(f"the deposit {path.name} of {member} cannot be read: {error.strerror}") from error
        finally:
            os.close(descriptor)

    @contextmanager
    def _in_use(self, doing: str, member: MemberName) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise KeeperError(
                f"the deposits of {member} cannot be {doing}: {error.strerror}", hint=f"look at {self.folder / member}"
            ) from error

    def _refuse_without_room(self, header: Header) -> None:
        disk = os.statvfs(self.folder)
        free = disk.f_bavail * disk.f_frsize
        if free - header.image_bytes < self._free_bytes:
            raise NoRoom(
                f"the disk of the vault is too full for {header.commit} of {header.member}: "
                f"{_size(header.image_bytes)} are needed, {_size(free)} are free, "
                f"and {_size(self._free_bytes)} are to stay free",
                hint=f"make room on the disk of {self.folder}; the deposits that are there stay",
            )

    def _error_of(self, error: OSError, header: Header) -> KeeperError:
        if error.errno in _FULL:
            return NoRoom(
                f"the disk of the vault ran full while {header.commit} of {header.member} was written: "
                f"{_size(header.image_bytes)} are needed",
                hint=f"make room on the disk of {self.folder}; the deposits that are there stay",
            )
        return KeeperError(
            f"{header.commit} of {header.member} cannot be deposited: {error.strerror}",
            hint=f"look at the permissions and the disk of {self.folder}",
        )


def _read_header_of(member: MemberName, image: memoryview) -> Header:
    header = read_header(image)
    if header is None:
        raise CommitDamaged(f"an image of {member} was never sealed")
    if header.member != member:
        raise CommitDamaged(f"an image that should be {member}'s is {header.member}'s")
    return header


def _read_deposit_header(descriptor: int, member: MemberName) -> Header:
    """The header of a deposit, proved, with all of the file but the payload read.

    The file is not mapped: a bad block would be a signal then, here it is an error."""
    length = os.fstat(descriptor).st_size
    page = os.pread(descriptor, HEADER_BYTES, 0)
    if len(page) < HEADER_BYTES:
        raise CommitDamaged(f"a deposit of {member} is cut short: {length} bytes")
    header = peek_header(page)
    if header is None or header.image_bytes > length:
        raise CommitDamaged(f"a deposit of {member} was never sealed, or is cut short: {length} bytes")
    # Memory that is never touched costs nothing: the payload's place stays empty.
    with memoryview(mmap(-1, length, MAP_PRIVATE | MAP_ANONYMOUS)) as image:
        image[:HEADER_BYTES] = page
        os.preadv(descriptor, [image[header.manifest_at : header.image_bytes]], header.manifest_at)
        return _read_header_of(member, image)


def _check_payload(descriptor: int, header: Header) -> None:
    """Read every chunk. Raises `CommitDamaged` with how many are not what was sealed."""
    table = os.pread(descriptor, CHECKSUM_BYTES * header.chunk_count, header.table_at)
    damaged = 0
    with memoryview(bytearray(min(header.chunk_bytes, header.payload_bytes))) as buffer:
        for index in range(header.chunk_count):
            start, end = header.chunk_range(index)
            with buffer[: end - start] as chunk:
                os.preadv(descriptor, [chunk], start)
                damaged += checksum(chunk) != table[CHECKSUM_BYTES * index : CHECKSUM_BYTES * (index + 1)]
    if damaged:
        raise CommitDamaged(
            f"{damaged} of {header.chunk_count} chunks of {header.commit} of {header.member} are damaged"
        )


def _write_checked(path: Path, image: memoryview, header: Header) -> None:
    """Write an image to a new file, each chunk checked before it goes, and have all of it on the disk."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        written = synced = 0
        for end in _piece_ends(image, header):
            while written < end:
                written += os.write(descriptor, image[written : min(end, written + _PIECE_BYTES)])
            if written - synced >= _SYNC_BYTES:
                _settle(descriptor)
                synced = written
        # The table that vouched for the chunks lies in the image too, so it is asked again at the end.
        if read_header(image) != header:
            raise CommitDamaged(f"{header.commit} of {header.member} was overwritten while it was deposited")
        _settle(descriptor)
    finally:
        os.close(descriptor)


def _piece_ends(image: memoryview, header: Header) -> Iterator[int]:
    """How far the image may be written: chunk by chunk as each turns out whole, then to its end."""
    for index in range(header.chunk_count):
        start, end = header.chunk_range(index)
        at = header.table_at + CHECKSUM_BYTES * index
        if checksum(image[start:end]) != image[at : at + CHECKSUM_BYTES]:
            raise CommitDamaged(f"chunk {index} of {header.chunk_count} of {header.commit} is damaged")
        yield end
    yield header.image_bytes


def _settle(descriptor: int) -> None:
    """Have what was written on the disk, and out of the memory that the program may want."""
    os.fsync(descriptor)
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def _size(count: int) -> str:
    return f"{count / (1 << 20):,.1f} MiB"


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

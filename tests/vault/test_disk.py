"""The vault on a disk: full disks, leftovers, files that others put there."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldthread.errors import CommitDamaged, KeeperError, NoRoom
from goldthread.names import Epoch, MemberName, Step
from goldthread.vault.disk import DiskVault
from goldthread.wire.image import CHECKSUM_BYTES, HEADER_BYTES, SEAL_AT, Header, checksum, pack_header

WALK = MemberName("walk")
MEBIBYTE = 1 << 20


def image_of(sequence: int, megabytes: int = 1, member: MemberName = WALK) -> memoryview:
    """A sealed image of life 1, at ten times its sequence in steps."""
    chunk = bytes([sequence]) * MEBIBYTE
    header = Header(member, Epoch(1), Step(10 * sequence), sequence, megabytes * MEBIBYTE, 8, MEBIBYTE)
    table = checksum(chunk) * megabytes
    image = bytearray(pack_header(header, b"manifest", table).ljust(HEADER_BYTES, b"\0"))
    image += chunk * megabytes + b"manifest" + table
    image[SEAL_AT : SEAL_AT + 8] = sequence.to_bytes(8, "little")
    return memoryview(image)


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB of its own."""
    place = tmp_path / "small disk"
    place.mkdir()
    mounted = (
        os.getuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m", "none", place], capture_output=True, check=False
        ).returncode
    )
    if not mounted:
        pytest.skip("a file system can be mounted by root only")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_deposits_are_for_their_user_alone(tmp_path: Path) -> None:
    """Nobody else reads somebody's work."""
    vault = DiskVault(tmp_path / "vault", 0)
    vault.deposit(WALK, image_of(1))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "vault").rglob("*")}
    assert modes == {"walk": 0o700, "1-1-10.commit": 0o600}
    assert stat.S_IMODE((tmp_path / "vault").stat().st_mode) == 0o700


def test_leftovers_of_a_dead_keeper_are_removed(tmp_path: Path) -> None:
    """Half a deposit is never listed, and goes when the next keeper starts."""
    vault = DiskVault(tmp_path, 0)
    commit = vault.deposit(WALK, image_of(1))
    leftover = tmp_path / "walk" / "1-2-20.commit.being-written"
    leftover.write_bytes(image_of(2)[:5000])
    assert [copy.commit for copy in vault.list(WALK).copies] == [commit]
    assert vault.clear_leftovers() == 1
    assert names_in(tmp_path) == ["1-1-10.commit"]
    assert vault.clear_leftovers() == 0


def test_a_deposit_that_would_leave_too_little_is_refused_before_it_is_written(small_disk: Path) -> None:
    """It says how much is needed and how much is free; what is there stays."""
    vault = DiskVault(small_disk, free_bytes=4 * MEBIBYTE)
    vault.deposit(WALK, image_of(1, megabytes=2))
    with pytest.raises(NoRoom, match=r"3.0 MiB are needed, 6.0 MiB are free, and 4.0 MiB are to stay free"):
        vault.deposit(WALK, image_of(2, megabytes=3))
    assert names_in(small_disk) == ["1-1-10.commit"]


def test_a_disk_that_runs_full_leaves_no_half_deposit(small_disk: Path) -> None:
    """The disk is really full: the deposit fails, its leftover goes, the deposits before stay whole."""
    vault = DiskVault(small_disk, free_bytes=-100 * MEBIBYTE)
    commit = vault.deposit(WALK, image_of(1, megabytes=5))
    with pytest.raises(NoRoom, match="ran full"):
        vault.deposit(WALK, image_of(2, megabytes=5))
    assert names_in(small_disk) == ["1-1-10.commit"]
    assert vault.check(WALK, commit) == ""
    vault.trim(WALK, ())
    vault.deposit(WALK, image_of(2, megabytes=5))


def test_a_limit_on_the_length_of_files_is_like_a_full_disk(tmp_path: Path) -> None:
    """The kernel refuses in the middle of the file; nothing of it is left."""
    (tmp_path / "image").write_bytes(image_of(1, megabytes=5))
    code = """
import resource, sys
from pathlib import Path
from goldthread.errors import NoRoom
from goldthread.vault.disk import DiskVault
image = memoryview(Path(sys.argv[1], "image").read_bytes())
resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, 2 << 20))
try:
    DiskVault(Path(sys.argv[1], "vault"), 0).deposit("walk", image)
except NoRoom as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert "ran full while step 10 of life 1 of walk was written" in done.stdout
    assert names_in(tmp_path / "vault") == []


def test_a_folder_without_permission_is_said(tmp_path: Path) -> None:
    """A file stands where the folder should be: that fails for root too."""
    (tmp_path / "vault").write_text("")
    with pytest.raises(KeeperError, match="cannot be deposited"):
        DiskVault(tmp_path / "vault", 0).deposit(WALK, image_of(1))


@pytest.mark.parametrize("length", [0, 100, HEADER_BYTES, 2 * HEADER_BYTES, -CHECKSUM_BYTES - 1, -1])
def test_a_file_that_was_cut_is_set_aside(tmp_path: Path, length: int) -> None:
    """However short it is, it is noticed and kept."""
    vault = DiskVault(tmp_path, 0)
    vault.deposit(WALK, image_of(1))
    path = tmp_path / "walk" / "1-1-10.commit"
    os.truncate(path, length if length >= 0 else path.stat().st_size + length)
    listing = vault.list(WALK)
    assert listing.copies == ()
    assert "it was set aside as 1-1-10.commit.damaged" in listing.damaged[0]
    assert names_in(tmp_path) == ["1-1-10.commit.damaged"]


def test_a_file_of_another_member_is_set_aside(tmp_path: Path) -> None:
    """Somebody copied it there: the header says whose it is."""
    vault = DiskVault(tmp_path, 0)
    vault.deposit(MemberName("run"), image_of(1, member=MemberName("run")))
    (tmp_path / "run").rename(tmp_path / "walk")
    assert vault.list(WALK).copies == ()
    assert names_in(tmp_path) == ["1-1-10.commit.damaged"]


def test_a_file_with_the_name_of_another_commit_is_set_aside(tmp_path: Path) -> None:
    """A name is never trusted more than what the file says of itself."""
    vault = DiskVault(tmp_path, 0)
    vault.deposit(WALK, image_of(1))
    (tmp_path / "walk" / "1-1-10.commit").rename(tmp_path / "walk" / "2-7-70.commit")
    listing = vault.list(WALK)
    assert listing.copies == ()
    assert "holds step 10 of life 1, not step 70 of life 2" in listing.damaged[0]


def test_files_of_others_are_left_alone(tmp_path: Path) -> None:
    """Notes of the user, folders that cannot name a member."""
    vault = DiskVault(tmp_path, 0)
    vault.deposit(WALK, image_of(1))
    (tmp_path / "walk" / "notes.txt").write_text("mine")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "empty").mkdir()
    vault.trim(WALK, ())
    assert vault.members() == ()
    assert names_in(tmp_path) == ["notes.txt"]


def test_an_image_that_changes_while_it_is_deposited_is_not_kept(tmp_path: Path) -> None:
    """A writer takes the slot in the middle: the seal is asked again at the end."""

    class Overwritten(DiskVault):
        def _refuse_without_room(self, header: Header) -> None:
            image[SEAL_AT : SEAL_AT + 8] = bytes(8)

    image = image_of(1)
    with pytest.raises(CommitDamaged, match="overwritten while it was deposited"):
        Overwritten(tmp_path, 0).deposit(WALK, image)
    assert names_in(tmp_path) == []

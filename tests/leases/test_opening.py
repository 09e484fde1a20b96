"""From an address to a store: what is understood, and what is refused with what would do."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from goldthread.errors import LeaseUnavailable, UsageError
from goldthread.leases.opening import open_store
from goldthread.names import MemberName

WALK = MemberName("walk")


def address_of(text: str) -> str:
    store = open_store(text, 1)
    store.close()
    return store.address


@pytest.mark.parametrize(
    ("address", "hint"),
    [
        ("", "sqlite:///path"),
        ("postgres://here", "etcd://host:port"),
        ("/var/lib/leases", "sqlite:///path"),
        ("memory://here", "memory: stands alone"),
        ("sqlite:", "three strokes"),
        ("sqlite://leases.sqlite", "three strokes"),
        ("sqlite:///", "three strokes"),
        ("sqlite:///leases.sqlite?mode=ro", "three strokes"),
        ("etcd://", "hosts with their ports"),
        ("etcd://one", "hosts with their ports"),
        ("etcd://one:2379,two", "hosts with their ports"),
        ("etcd://one:2379,", "hosts with their ports"),
        ("etcd://one:99999/prefix", "hosts with their ports"),
        ("etcd://one:2379/prefix?user=me", "hosts with their ports"),
        ("etcd://[one:2379", "etcd://host:port"),
        ("s3://", "a bucket"),
        ("s3:///prefix", "a bucket"),
        ("s3://bucket/prefix?endpoint=store:9000", "a bucket"),
        ("s3://bucket/prefix?endpont=http://store:9000", "a bucket"),
    ],
)
def test_what_is_no_address_is_refused(address: str, hint: str) -> None:
    """With an example of what would do."""
    with pytest.raises(UsageError, match="is no address of a lease store") as caught:
        open_store(address, 1)
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    "address",
    [
        "etcd://me:secret@one:2379/here",
        "s3://me:secret@bucket/here",
        "s3://bucket/here?endpoint=http://me:secret@store",
    ],
)
def test_secrets_do_not_stand_in_an_address(address: str) -> None:
    """Addresses are shown and compared; and the refusal does not repeat it."""
    with pytest.raises(UsageError, match="secrets do not stand") as caught:
        open_store(address, 1)
    assert "secret@" not in str(caught.value)


def test_an_address_says_the_same_in_any_order() -> None:
    """Two keepers that name the same endpoints have the same store."""
    assert address_of("etcd://two:2379,one:2379") == "etcd://one:2379,two:2379/goldthread"
    assert address_of("etcd://one:2379,two:2379/goldthread/") == address_of("etcd://two:2379,one:2379,one:2379")
    assert address_of("s3://bucket") == address_of("s3://bucket/goldthread?region=us-east-1")
    assert address_of("s3://bucket/a?endpoint=http://s:1/") == address_of("s3://bucket/a?endpoint=http://s:1")


@pytest.mark.parametrize(
    "address",
    [
        "etcd://127.0.0.1:1/a",
        "etcd://one:1,localhost:2/a",
        "etcd://[::1]:1/a",
        "s3://bucket/a?endpoint=http://127.1:9",
        "s3://bucket/a?endpoint=https://[::1]",
    ],
)
def test_an_address_of_this_host_is_not_that_of_another(address: str) -> None:
    """Each host that names itself has a store of its own."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert address_of(address).endswith(f"#{boot}")


def test_memory_is_shared_with_nobody() -> None:
    """Nor is its address."""
    assert address_of("memory:") != address_of("memory:")


def test_a_file_is_known_by_what_stands_in_it(tmp_path: Path) -> None:
    """Whatever its path; a file of the same path on another machine is another store."""
    file = tmp_path / "leases of ours.sqlite"
    address = address_of(f"sqlite://{tmp_path}/leases%20of%20ours.sqlite")
    (tmp_path / "link").symlink_to(file)
    assert address_of(f"sqlite://{tmp_path}/link") == address
    file.unlink()
    assert address_of(f"sqlite://{tmp_path}/link") != address


def test_whoever_is_first_makes_the_file(tmp_path: Path) -> None:
    """Keepers that begin at the same moment have one store."""
    for number in range(10):
        begin = threading.Barrier(8)

        def open_at_once(address: str, begin: threading.Barrier = begin) -> str:
            begin.wait()
            return open_store(address, 60).address

        with ThreadPoolExecutor(8) as threads:
            found = set(threads.map(open_at_once, [f"sqlite://{tmp_path}/{number}.sqlite"] * 8))
        assert len(found) == 1


def test_a_file_that_was_replaced_is_not_used(tmp_path: Path) -> None:
    """It does not know what was granted before."""
    address = f"sqlite://{tmp_path}/leases.sqlite"
    store = open_store(address, 60)
    assert store.swap(WALK, b"one", None) is not None
    (tmp_path / "leases.sqlite").unlink()
    other = open_store(address, 60)
    for call in (lambda: store.read(WALK), lambda: store.swap(WALK, b"two", None)):
        with pytest.raises(LeaseUnavailable, match="is another file"):
            call()
    assert other.read(WALK) is None


@pytest.mark.parametrize("content", [None, b"these are notes of the user" * 100], ids=["no folder", "no database"])
def test_a_file_that_cannot_be_used_is_said_when_it_is_opened(tmp_path: Path, content: bytes | None) -> None:
    """And nothing is done to it."""
    file = tmp_path / "absent" / "leases.sqlite" if content is None else tmp_path / "notes.txt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match="no leases can be kept in"):
        open_store(f"sqlite://{file}", 1)
    assert (file.read_bytes() if file.exists() else None) == content


def test_a_package_that_is_missing_is_named() -> None:
    """With the line that installs it; the other stores need none."""
    code = """
import sys
sys.modules["obstore"] = None
from goldthread.errors import UsageError
from goldthread.leases.opening import open_store
open_store("memory:", 1)
open_store("etcd://one:2379", 1)
try:
    open_store("s3://bucket", 1)
except UsageError as error:
    print(error, error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == 's3 needs the package obstore pip install "goldthread[s3]"\n'

"""What object stores alone can meet: no bucket, something else under the key, a store that ignores conditions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from lease_servers import Moto

from goldthread.errors import LeaseUnavailable, UsageError
from goldthread.leases.opening import open_store
from goldthread.names import MemberName

WALK = MemberName("walk")


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Moto]:
    server = Moto(tmp_path_factory.mktemp("moto"))
    yield server
    server.close()


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "iruka")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "umino")


class Careless(BaseHTTPRequestHandler):
    """An object store as they were before 2024: it writes, whatever the headers ask."""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None: ...


def test_a_store_that_ignores_conditions_is_never_used() -> None:
    """It would grant one lease to two keepers."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Careless) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            store = open_store(f"s3://leases/here?endpoint=http://127.0.0.1:{server.server_port}", 60)
            for _ in range(2):
                with pytest.raises(LeaseUnavailable, match="writes whatever the condition"):
                    store.swap(WALK, b"one", None)
        finally:
            server.shutdown()
            thread.join()


def test_a_bucket_that_is_not_there_is_not_an_empty_one(moto: Moto) -> None:
    """A lease that cannot be read is unknown, not free."""
    store = open_store(f"s3://other/here?endpoint={moto.endpoint}", 60)
    for call in (lambda: store.read(WALK), lambda: store.swap(WALK, b"1", None), lambda: store.swap(WALK, b"1", "x")):
        with pytest.raises(LeaseUnavailable, match="NoSuchBucket"):
            call()


def test_the_address_stands_above_the_environment(moto: Moto, monkeypatch: pytest.MonkeyPatch) -> None:
    """And where it says nothing, the environment of one host does not decide which store is meant."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    assert open_store(moto.address("above"), 60).read(WALK) is None
    with pytest.raises(UsageError, match="AWS_ENDPOINT_URL_S3 names another endpoint"):
        open_store("s3://leases/above", 60)


def test_what_is_too_long_for_a_lease_is_not_loaded(moto: Moto) -> None:
    """Somebody else's object has this key."""
    moto.put("leases/long/walk", bytes(1 << 20))
    store = open_store(moto.address("long"), 60)
    with pytest.raises(LeaseUnavailable, match="it has 1048576 bytes"):
        store.read(WALK)


def test_records_stand_below_the_prefix_as_they_are(moto: Moto, tmp_path: Path) -> None:
    """So that people can read them, and a prefix can be permitted alone."""
    moto.put("leases/people/walk", b"one")
    store = open_store(moto.address("people"), 60)
    stored = store.read(WALK)
    assert stored is not None
    assert stored.record == b"one"
    assert store.swap(WALK, b"two", stored.version) is not None

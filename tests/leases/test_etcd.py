"""What etcd alone can meet: several endpoints, some of them dead, frozen or something else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from lease_servers import Etcd, free_port

from goldthread.errors import LeaseUnavailable
from goldthread.leases.opening import open_store
from goldthread.names import MemberName

WALK = MemberName("walk")


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    server = Etcd(tmp_path_factory.mktemp("etcd"))
    yield server
    server.close()


@contextmanager
def listener(answer: bytes | None) -> Iterator[str]:
    """An endpoint that takes connections and answers with these bytes, or (None) never."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        taken: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = door.accept()
                except OSError:
                    return
                taken.append(connection)
                if answer is not None:
                    connection.recv(4096)
                    connection.sendall(answer)
                    connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{door.getsockname()[1]}"
        finally:
            door.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in taken:
                connection.close()


def reply(status: str, body: bytes, length: int | None = None) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


def both(first: str, second: Etcd, prefix: str) -> str:
    """An address with two endpoints. They are tried in the order of their names."""
    return f"etcd://{first},{second.endpoint.replace('127.0.0.1', 'localhost')}/{prefix}"


def test_an_endpoint_that_is_dead_is_passed_over(etcd: Etcd) -> None:
    """Also by a swap: it was never sent there."""
    store = open_store(both(f"127.0.0.1:{free_port()}", etcd, "dead"), 60)
    assert store.read(WALK) is None
    assert store.swap(WALK, b"one", None) is not None
    store.close()


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"",
        b"SSH-2.0-OpenSSH\r\n",
        reply("503 Service Unavailable", b'{"error": "no leader"}'),
        reply("200 OK", b"<html>"),
        reply("200 OK", b'{"kvs": 3, "header": 4}'),
        reply("200 OK", b'{"kvs": [', 1000),
        reply("200 OK", b" " * 100_000),
    ],
    ids=["frozen", "hangs up", "no HTTP", "an error", "no JSON", "other JSON", "cut off", "too long"],
)
def test_a_read_goes_on_to_the_next_endpoint_and_a_swap_does_not(etcd: Etcd, answer: bytes | None) -> None:
    """A swap that was sent may be done; it is not sent twice. The next call goes elsewhere."""
    with listener(answer) as first:
        for prefix in ("read", "swap"):
            store = open_store(both(first, etcd, f"{prefix}-{first}"), 4)
            if prefix == "swap":
                with pytest.raises(LeaseUnavailable, match=first):
                    store.swap(WALK, b"one", None)
            assert store.read(WALK) is None
            assert store.swap(WALK, b"one", None) is not None
            store.close()


def test_where_no_endpoint_serves_each_is_named() -> None:
    """With what it said."""
    dead = f"127.0.0.1:{free_port()}"
    with listener(reply("400 Bad Request", b'{"error": "user name is empty"}')) as refusing:
        store = open_store(f"etcd://{dead},{refusing}/none", 60)
        with pytest.raises(LeaseUnavailable, match="user name is empty") as caught:
            store.read(WALK)
        store.close()
    assert f"{dead}: " in str(caught.value)


def test_records_can_be_read_by_people(etcd: Etcd) -> None:
    """One plain key for each member."""
    store = open_store(etcd.address("people"), 60)
    assert store.swap(WALK, b"one", None) is not None
    store.close()
    body = b'{"key": "cGVvcGxlL3dhbGs="}'
    head = f"POST /v3/kv/range HTTP/1.1\r\nHost: etcd\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    host, port = etcd.endpoint.split(":")
    with socket.create_connection((host, int(port))) as connection, connection.makefile("rb") as answer:
        connection.sendall(head.encode() + body)
        assert b'"value":"b25l"' in answer.read()

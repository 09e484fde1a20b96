"""Leases in etcd, through the JSON gateway that every etcd has.

The register of a member is one key; its version is the key's `mod_revision`, and a swap is a transaction that
compares it. etcd's own leases are not used: a record that does not change is what tells that its owner is gone.

Several endpoints are tried in turn. A swap that was sent is not sent again to the next: the first may have done it,
and the second would then refuse it. The next call begins with the endpoint that is next. Each call has a connection of
its own, which costs a fraction of a millisecond: one that is kept would be found dead by the swap that needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from http.client import OK, HTTPConnection, HTTPException
from typing import Final, TypeVar

import msgspec

from goldthread.errors import LeaseUnavailable
from goldthread.leases.base import Stored
from goldthread.names import MemberName

__all__ = ["EtcdStore"]

_ANSWER_BYTES_MOST: Final = 64 << 10
_SAID_MOST: Final = 200


class _Pair(msgspec.Struct):
    mod_revision: str
    value: bytes = b""


class _RangeAnswer(msgspec.Struct):
    kvs: tuple[_Pair, ...] = ()


class _Header(msgspec.Struct):
    revision: str


class _TxnAnswer(msgspec.Struct):
    header: _Header
    succeeded: bool = False


A = TypeVar("A", _RangeAnswer, _TxnAnswer)


class EtcdStore:
    """The store under `prefix` in the etcd that answers at any of `endpoints` (`host:port`)."""

    def __init__(self, address: str, endpoints: Sequence[str], prefix: str, seconds: float) -> None:
        self._address = address
        self._endpoints = tuple(endpoints)
        self._first = 0
        self._prefix = prefix
        self._seconds_each = seconds / len(endpoints)

    @property
    def address(self) -> str:
        return self._address

    def read(self, member: MemberName) -> Stored | None:
        pairs = self._ask("range", {"key": self._key(member)}, _RangeAnswer).kvs
        return Stored(pairs[0].value, pairs[0].mod_revision) if pairs else None

    def swap(self, member: MemberName, record: bytes, over: str | None) -> str | None:
        key = self._key(member)
        question = {
            # Of a key that was never written the revision is 0.
            "compare": [{"key": key, "target": "MOD", "result": "EQUAL", "mod_revision": over or "0"}],
            "success": [{"request_put": {"key": key, "value": record}}],
        }
        answer = self._ask("txn", question, _TxnAnswer)
        return answer.header.revision if answer.succeeded else None

    def close(self) -> None:
        """Nothing is open between calls."""

    def _key(self, member: MemberName) -> bytes:
        return f"{self._prefix}/{member}".encode()

    def _ask(self, call: str, question: object, kind: type[A]) -> A:
        body = msgspec.json.encode(question)
        said = []
        for _ in self._endpoints:
            at, is_sent = self._first, False
            connection = HTTPConnection(self._endpoints[at], timeout=self._seconds_each)
            try:
                connection.connect()
                is_sent = True
                return msgspec.json.decode(_post(connection, f"/v3/kv/{call}", body), type=kind)
            except (OSError, HTTPException, msgspec.MsgspecError, LeaseUnavailable) as error:
                said.append(f"{self._endpoints[at]}: {error or type(error).__name__}")
                self._first = (at + 1) % len(self._endpoints)
                if is_sent and kind is _TxnAnswer:
                    break
            finally:
                connection.close()
        raise LeaseUnavailable(f"etcd cannot be asked: {'; '.join(said)}")


def _post(connection: HTTPConnection, path: str, body: bytes) -> bytes:
    connection.request("POST", path, body, {"Connection": "close"})
    response = connection.getresponse()
    answer = response.read(_ANSWER_BYTES_MOST + 1)
    if len(answer) > _ANSWER_BYTES_MOST:
        raise LeaseUnavailable(f"its answer is longer than {_ANSWER_BYTES_MOST} bytes")
    if response.status != OK:
        text = answer[:_SAID_MOST].decode("utf-8", "replace").strip()
        raise LeaseUnavailable(f"it answered {response.status}: {text}")
    return answer

"""From an address to a lease store.

    sqlite:///var/lib/goldthread/leases.sqlite                    a file, for the keepers of one machine
    etcd://one:2379,two:2379,three:2379/goldthread                etcd, any of these endpoints, under this prefix
    s3://bucket/prefix?endpoint=http://store:9000&region=here     an object store; without an endpoint that of AWS
    memory:                                                       this process alone

An address that two keepers share must mean the same to both. One that names this host itself (`localhost`) does not:
two hosts that use it have two stores, so it is told apart by the boot of the host.

What speaks to a server is loaded with the first address that needs it: a keeper without one stays small.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from goldthread.errors import UsageError
from goldthread.leases.base import LeaseStore
from goldthread.leases.memory import MemoryStore
from goldthread.leases.sqlite import SqliteStore
from goldthread.leases.timely import TimelyStore

__all__ = ["open_store"]

_HINT: Final = (
    "sqlite:///path/file, etcd://host:port,host:port/prefix, s3://bucket/prefix?endpoint=http://host:port&region=name"
)
_PREFIX: Final = "goldthread"
_REGION: Final = "us-east-1"
_S3_ENDPOINTS: Final = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def open_store(address: str, seconds: float) -> LeaseStore:
    """The lease store at `address`, which answers each call within `seconds`.

    Nothing beyond this host is asked yet. Raises `UsageError` for what is no such address, and where the package that
    speaks to the store is not installed.
    """
    try:
        parts = urlsplit(address)
        opening = _OPENINGS[parts.scheme]
    except (ValueError, KeyError):
        raise UsageError(f"{address!r} is no address of a lease store", hint=_HINT) from None
    if "@" in parts.netloc or "@" in parts.query:
        raise UsageError("secrets do not stand in the address of a lease store", hint="give them in the environment")
    return TimelyStore(opening(parts, seconds), seconds)


def _open_memory(parts: SplitResult, seconds: float) -> LeaseStore:
    _refuse_unless(not (parts.netloc or parts.path or parts.query), parts, "memory: stands alone")
    return MemoryStore()


def _open_sqlite(parts: SplitResult, seconds: float) -> LeaseStore:
    plain = not (parts.netloc or parts.query) and len(parts.path) > 1
    _refuse_unless(plain, parts, "three strokes and the path of a file: sqlite:///path/file")
    return SqliteStore(Path(unquote(parts.path)), seconds)


def _open_etcd(parts: SplitResult, seconds: float) -> LeaseStore:
    endpoints = sorted(set(parts.netloc.split(",")))
    fits = not parts.query and all(_is_endpoint(endpoint) for endpoint in endpoints)
    _refuse_unless(fits, parts, "hosts with their ports, and a prefix: etcd://one:2379,two:2379/goldthread")
    from goldthread.leases.etcd import EtcdStore

    prefix = parts.path.strip("/") or _PREFIX
    address = _shared(f"etcd://{','.join(endpoints)}/{prefix}", [endpoint.rpartition(":")[0] for endpoint in endpoints])
    return EtcdStore(address, endpoints, prefix, seconds)


def _open_s3(parts: SplitResult, seconds: float) -> LeaseStore:
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    endpoint, region = options.pop("endpoint", ""), options.pop("region", _REGION)
    place = urlsplit(endpoint)
    reachable = not endpoint or (place.scheme in ("http", "https") and place.netloc != "")
    fits = parts.netloc != "" and reachable and not options
    _refuse_unless(fits, parts, f"a bucket and a prefix, and what is not AWS: {_HINT.split()[-1]}")
    elsewhere = [variable for variable in _S3_ENDPOINTS if os.environ.get(variable)]
    if elsewhere and not endpoint:
        raise UsageError(
            f"{elsewhere[0]} names another endpoint than the address of the lease store",
            hint="name it in the address (?endpoint=...), so that all keepers mean the same store",
        )
    try:
        from goldthread.leases.object_store import ObjectStore
    except ModuleNotFoundError as error:
        raise UsageError(f"s3 needs the package {error.name}", hint='pip install "goldthread[s3]"') from error
    prefix = parts.path.strip("/") or _PREFIX
    address = f"s3://{parts.netloc}/{prefix}?endpoint={endpoint.rstrip('/')}&region={region}"
    address = _shared(address, [place.hostname or ""])
    return ObjectStore(address, parts.netloc, prefix, endpoint, region, seconds)


_OPENINGS: Final[dict[str, Callable[[SplitResult, float], LeaseStore]]] = {
    "memory": _open_memory,
    "sqlite": _open_sqlite,
    "etcd": _open_etcd,
    "s3": _open_s3,
}


def _is_endpoint(text: str) -> bool:
    host, colon, port = text.rpartition(":")
    return bool(host and colon) and port.isdecimal() and 0 < int(port) < 1 << 16


def _shared(address: str, hosts: list[str]) -> str:
    """The address as it is on every host; one of this host alone gets a mark of it."""
    here = any(host.lower() in ("localhost", "::1", "[::1]") or host.startswith("127.") for host in hosts)
    return f"{address}#{_BOOT_ID.read_text().strip()}" if here else address


def _refuse_unless(fits: bool, parts: SplitResult, hint: str) -> None:
    if not fits:
        raise UsageError(f"{parts.geturl()!r} is no address of a lease store", hint=hint)

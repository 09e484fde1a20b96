"""Leases in an object store that speaks S3, by conditional writes.

The register of a member is one object; its version is the object's etag. Writing the first record asks that there is
no object, writing over one asks that it still has the etag that was read. AWS has both since 2024, and MinIO, Ceph and
others in their newer versions; an older one may pass over the conditions and write. So before the first swap an object
beside the registers is written against both conditions: a store that lets that happen is never used.

Keys and tokens come from the environment, as for every program that speaks S3.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PreconditionError
from obstore.store import S3Store

from goldthread.errors import LeaseUnavailable
from goldthread.leases.base import Stored
from goldthread.names import MemberName
from goldthread.wire.leases import LEASE_BYTES_MOST

if TYPE_CHECKING:
    from obstore import PutMode

__all__ = ["ObjectStore"]

_PROBE: Final = "_conditions"
"""No member's name, as it begins with no letter and no digit."""
_NO_BUCKET: Final = "NoSuchBucket"


class ObjectStore:
    """The store under `prefix` in a bucket; `endpoint` where it is not that of AWS."""

    def __init__(self, address: str, bucket: str, prefix: str, endpoint: str, region: str, seconds: float) -> None:
        self._address = address
        self._keeps_conditions = False
        self._store = S3Store(
            bucket,
            prefix=prefix,
            region=region,
            config={"aws_endpoint_url_s3": endpoint, "virtual_hosted_style_request": False} if endpoint else {},
            client_options={
                "timeout": f"{seconds}s",
                "connect_timeout": f"{seconds}s",
                "allow_http": endpoint.startswith("http://"),
            },
            retry_config={"max_retries": 0},
        )

    @property
    def address(self) -> str:
        return self._address

    def read(self, member: MemberName) -> Stored | None:
        try:
            found = obstore.get(self._store, member)
            size, version = found.meta["size"], found.meta["e_tag"]
            if size > LEASE_BYTES_MOST or version is None:
                raise LeaseUnavailable(f"the object {member} is no lease: it has {size} bytes, and the etag {version}")
            return Stored(bytes(found.bytes()), version)
        except FileNotFoundError as error:
            if _NO_BUCKET in str(error):
                raise _unavailable(error) from error
            return None
        except BaseError as error:
            raise _unavailable(error) from error

    def swap(self, member: MemberName, record: bytes, over: str | None) -> str | None:
        if not self._keeps_conditions:
            self._check_conditions()
        return self._put(member, record, "create" if over is None else {"e_tag": over})

    def close(self) -> None:
        """Connections end with the store."""

    def _check_conditions(self) -> None:
        self._put(_PROBE, b"written to see whether the conditions of writes are kept", "create")
        modes: tuple[PutMode, ...] = ("create", {"e_tag": '"of nothing"'})
        for mode in modes:
            if self._put(_PROBE, b"", mode) is not None:
                raise LeaseUnavailable("the object store writes whatever the condition: it cannot keep leases")
        self._keeps_conditions = True

    def _put(self, key: str, record: bytes, mode: PutMode) -> str | None:
        """The new etag; None where the condition does not hold."""
        try:
            return obstore.put(self._store, key, record, mode=mode)["e_tag"]
        except (AlreadyExistsError, PreconditionError):
            return None
        except FileNotFoundError as error:
            if mode == "create" or _NO_BUCKET in str(error):
                raise _unavailable(error) from error
            return None
        except BaseError as error:
            raise _unavailable(error) from error


def _unavailable(error: Exception) -> LeaseUnavailable:
    """The first sentence of what the client says; behind it stand its own structures."""
    return LeaseUnavailable(f"the object store cannot be asked: {str(error).partition('Debug source')[0].strip()}")

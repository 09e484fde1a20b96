"""Frames: a length, a count of file descriptors, a message in msgpack.

A frame is `u32 length | u8 descriptors | body`. Descriptors travel beside the bytes (SCM_RIGHTS); the frame only
says how many belong to it, so that a reader can tell whose they are. What arrives is bounded before it is decoded.
"""

from __future__ import annotations

import struct
from typing import Any, Final, TypeVar

import msgspec

from goldthread.errors import GoldthreadError, KeeperError

__all__ = ["FRAME_BYTES_MOST", "Decoder", "encode"]

FRAME_BYTES_MOST: Final = 64 << 20
"""A longer frame is refused at the door: nothing that is said needs it, state never travels here."""

_HEAD: Final = struct.Struct("<IB")
_encoder = msgspec.msgpack.Encoder()
M = TypeVar("M")


def encode(message: msgspec.Struct, descriptors: int = 0, *, bytes_most: int = FRAME_BYTES_MOST) -> bytes:
    body = _encoder.encode(message)
    if len(body) > bytes_most:
        raise KeeperError(f"a message of {len(body)} bytes is longer than the limit of {bytes_most}")
    return _HEAD.pack(len(body), descriptors) + body


class Decoder:
    """Turns what arrives, in whatever pieces, into messages of one tagged union.

    `error` is raised for what is no such message: at the door a `KeeperError`, between keepers a `PartnerError`.
    """

    def __init__(
        self, union: Any, *, error: type[GoldthreadError] = KeeperError, bytes_most: int = FRAME_BYTES_MOST
    ) -> None:
        self._decode = msgspec.msgpack.Decoder(union).decode
        self._error = error
        self._bytes_most = bytes_most
        self._arrived = bytearray()

    def feed(self, piece: bytes) -> list[tuple[Any, int]]:
        """Take what arrived and return each message that is now whole, with its count of descriptors.

        Raises `error` for a frame that is too long or is no message of the union: the connection is of no more use
        then.
        """
        self._arrived += piece
        whole: list[tuple[Any, int]] = []
        while len(self._arrived) >= _HEAD.size:
            length, descriptors = _HEAD.unpack_from(self._arrived)
            if length > self._bytes_most:
                raise self._error(f"a frame of {length} bytes was announced; the limit is {self._bytes_most}")
            end = _HEAD.size + length
            if len(self._arrived) < end:
                break
            body = bytes(self._arrived[_HEAD.size : end])
            del self._arrived[:end]
            try:
                whole.append((self._decode(body), descriptors))
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise self._error(f"a message could not be read: {error}") from error
        return whole

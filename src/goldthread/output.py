"""What a program wrote, kept for whoever looks later: a log of frames, bounded, exact to the byte.

A shim writes it, `run`, `attach` and `logs` read it, and neither waits for the other: a program never stands still
because nobody looks, and a reader who falls behind by more than two files is told how much it missed. The log is one
file that is renamed to one older file when it is full. Each file begins with the position of its first frame in all
that was ever written, so a reader finds its place again after any number of renames and knows what it missed. A frame
that is not whole ends its file: the reader waits there, and the next writer cuts it off.

    file   8s magic | u64 position of the first frame
    frame  u64 wall time in ns | u32 length | u8 stream | 3 zero bytes | payload
"""

from __future__ import annotations

import os
import struct
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["ERR", "LOST", "OUT", "Frame", "OutputLog", "OutputReader", "last_lines", "older"]

OUT: Final = 1
"""Standard output."""
ERR: Final = 2
"""Standard error."""
LOST: Final = 3
"""No output: its payload is the count, in digits, of bytes that could not be written here."""

_MAGIC: Final = b"GTOUTPUT"
_FILE: Final = struct.Struct("<8sQ")
_FRAME: Final = struct.Struct("<QIB3x")
_FILE_BYTES_MOST: Final = 32 << 20
_FRAME_BYTES_MOST: Final = 1 << 20
_READ_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Frame:
    wall_ns: int
    stream: int
    payload: bytes


def older(path: Path) -> Path:
    """Where the log goes when it is full."""
    return path.with_name(path.name + ".1")


class OutputLog:
    """Appends to the log; the only writer of its path.

    It never raises for what the disk refuses: the bytes are counted, and the count is written once there is room.
    """

    def __init__(self, path: Path, *, file_bytes_most: int = _FILE_BYTES_MOST) -> None:
        self._path = path
        self._most = file_bytes_most
        self._file: int | None = None
        self._base = 0
        self._end = _FILE.size
        self.lost = 0
        """Bytes that could not be written, and of which the log does not tell yet."""

    def write(self, stream: int, data: bytes) -> None:
        for start in range(0, len(data), _FRAME_BYTES_MOST):
            piece = data[start : start + _FRAME_BYTES_MOST]
            try:
                if self.lost:
                    self._append(LOST, str(self.lost).encode())
                    self.lost = 0
                self._append(stream, piece)
            except OSError:
                self.lost += len(piece)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _append(self, stream: int, payload: bytes) -> None:
        size = _FRAME.size + len(payload)
        if self._file is not None and self._end > _FILE.size and self._end + size > self._most:
            self._base += self._end - _FILE.size
            self.close()
            self._path.replace(older(self._path))
        if self._file is None:
            self._open()
        assert self._file is not None
        self._put(self._file, _FRAME.pack(time.time_ns(), len(payload), stream) + payload)

    def _open(self) -> None:
        """Go on with the file that is there, behind its last whole frame, or begin one."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            base = _base_of(file)
            if base is None:
                before = _extent(older(self._path))
                self._base, self._end = max(self._base, before), 0
                os.ftruncate(file, 0)
                self._put(file, _FILE.pack(_MAGIC, self._base))
            else:
                self._base = base
                self._end = _FILE.size + sum(_FRAME.size + len(frame.payload) for frame in _frames(file, _FILE.size))
                os.ftruncate(file, self._end)
        except BaseException:
            os.close(file)
            raise
        self._file = file

    def _put(self, file: int, data: bytes) -> None:
        """All of it or nothing."""
        done = 0
        try:
            while done < len(data):
                done += os.pwrite(file, data[done:], self._end + done)
        except OSError:
            os.ftruncate(file, self._end)
            raise
        self._end += done


class OutputReader:
    """Follows the log from a place on; `read` never waits."""

    def __init__(self, path: Path, *, from_end: bool = False) -> None:
        self._path = path
        self._file: int | None = None
        self._base = 0
        self._at = _FILE.size
        self.missed = 0
        """Bytes of the log that were gone before they could be read."""
        self._position: int | None = _extent(path) if from_end else None

    def read(self) -> list[Frame]:
        """Every whole frame that came since the last call."""
        frames: list[Frame] = []
        while True:
            if self._file is None and not self._open():
                return frames
            rotated = self._is_rotated()
            # Only what is read after the rename was seen is all that the file will ever hold.
            frames += self._rest()
            if not rotated:
                return frames
            self._position = self._base + self._at - _FILE.size
            self.close()

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _rest(self) -> list[Frame]:
        assert self._file is not None
        frames = list(_frames(self._file, self._at))
        self._at += sum(_FRAME.size + len(frame.payload) for frame in frames)
        return frames

    def _open(self) -> bool:
        """Open the older file where it still holds what was not read yet, else the present one."""
        if self._take(older(self._path)) or self._take(self._path):
            return True
        # The present file may have become the older one between these two looks.
        return self._take(older(self._path)) or self._take(self._path, with_gap=True)

    def _take(self, path: Path, *, with_gap: bool = False) -> bool:
        """Open one file, if what it has comes next."""
        try:
            file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        base = _base_of(file)
        wanted = base if self._position is None else self._position
        if base is None or wanted is None:
            os.close(file)
            return False
        at = _FILE.size + max(0, wanted - base)
        is_over = path != self._path and next(_frames(file, at), None) is None
        if is_over or (path == self._path and base > wanted and not with_gap):
            os.close(file)
            return False
        self._file, self._base, self._at = file, base, at
        self.missed += max(0, base - wanted)
        return True

    def _is_rotated(self) -> bool:
        assert self._file is not None
        mine = os.fstat(self._file)
        try:
            present = self._path.stat()
        except FileNotFoundError:
            return False
        return (mine.st_dev, mine.st_ino) != (present.st_dev, present.st_ino)


def last_lines(frames: Sequence[Frame], count: int) -> list[Frame]:
    """The frames that hold the last `count` lines, the first one cut to fit."""
    if count == 0:
        return []
    kept: deque[Frame] = deque()
    # The newline at the very end closes the last line, it does not begin another.
    wanted = count + (1 if frames and frames[-1].payload.endswith(b"\n") else 0)
    for frame in reversed(frames):
        lines = frame.payload.count(b"\n")
        if lines < wanted:
            kept.appendleft(frame)
            wanted -= lines
            continue
        end = b"\n".join(frame.payload.rsplit(b"\n", wanted)[1:])
        if end:
            kept.appendleft(Frame(frame.wall_ns, frame.stream, end))
        break
    return list(kept)


def _extent(path: Path) -> int:
    """The position behind the last whole frame of a file; 0 where there is none."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return 0
    try:
        base = _base_of(file)
        if base is None:
            return 0
        return base + sum(_FRAME.size + len(frame.payload) for frame in _frames(file, _FILE.size))
    finally:
        os.close(file)


def _base_of(file: int) -> int | None:
    head = os.pread(file, _FILE.size, 0)
    if len(head) < _FILE.size:
        return None
    magic, base = _FILE.unpack(head)
    return base if magic == _MAGIC else None


def _frames(file: int, at: int) -> Iterator[Frame]:
    """The whole frames of a file from an offset on."""
    block = os.pread(file, _READ_BYTES, at)
    start = 0
    while True:
        if len(block) - start >= _FRAME.size:
            wall_ns, length, stream = _FRAME.unpack_from(block, start)
            if stream not in (OUT, ERR, LOST) or length > _FRAME_BYTES_MOST:
                return
            end = start + _FRAME.size + length
            if end <= len(block):
                yield Frame(wall_ns, stream, block[start + _FRAME.size : end])
                start = end
                continue
        at += start
        more = os.pread(file, _READ_BYTES, at)
        if len(more) <= len(block) - start:
            return
        block, start = more, 0

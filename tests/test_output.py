"""The output log: exact bytes, a bounded size, and readers who find their place again."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from goldthread.output import ERR, LOST, OUT, Frame, OutputLog, OutputReader, last_lines, older


def text(frames: list[Frame], stream: int = OUT) -> bytes:
    return b"".join(frame.payload for frame in frames if frame.stream == stream)


@contextmanager
def file_limit(size: int) -> Iterator[None]:
    """No file may grow beyond this: the same refusal in mid-write as that of a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "members" / "walk" / "output.log"


def test_what_was_written_is_read_back_exactly(path: Path) -> None:
    """Bytes, stream and order survive, whatever the bytes are."""
    writer, reader = OutputLog(path), OutputReader(path)
    assert reader.read() == []
    pieces = [(OUT, bytes(range(256))), (ERR, b"\xff\x00\r\n"), (OUT, b"no newline"), (OUT, os.urandom(3 << 20))]
    for stream, piece in pieces:
        writer.write(stream, piece)
    frames = reader.read()
    assert b"".join(piece for stream, piece in pieces if stream == OUT) == text(frames, OUT)
    assert text(frames, ERR) == b"\xff\x00\r\n"
    assert reader.read() == []
    writer.close()
    reader.close()


def test_a_reader_from_the_end_sees_only_what_comes(path: Path) -> None:
    writer = OutputLog(path)
    writer.write(OUT, b"before\n")
    reader = OutputReader(path, from_end=True)
    assert reader.read() == []
    writer.write(OUT, b"after\n")
    assert text(reader.read()) == b"after\n"
    writer.close()
    reader.close()


def test_a_reader_follows_through_renames_and_misses_nothing(path: Path) -> None:
    """A reader that looks often enough gets every byte, though the log was renamed many times."""
    writer, reader = OutputLog(path, file_bytes_most=4096), OutputReader(path)
    seen, written = b"", b""
    for number in range(2000):
        line = b"line %d\n" % number
        writer.write(OUT, line)
        written += line
        if number % 100 == 0:
            seen += text(reader.read())
    seen += text(reader.read())
    assert written == seen
    assert reader.missed == 0
    writer.close()
    reader.close()


def test_the_log_is_bounded_and_a_late_reader_knows_what_it_missed(path: Path) -> None:
    """Two files of the limit are all that is kept; what went before is counted."""
    writer, reader = OutputLog(path, file_bytes_most=4096), OutputReader(path)
    writer.write(OUT, b"first\n")
    assert text(reader.read()) == b"first\n"
    for number in range(2000):
        writer.write(OUT, b"line %d\n" % number)
    assert path.stat().st_size <= 4096
    assert older(path).stat().st_size <= 4096
    frames = reader.read()
    assert frames[-1].payload == b"line 1999\n"
    assert reader.missed > 0
    writer.close()
    reader.close()


def test_a_torn_frame_is_waited_for_and_cut_off_by_the_next_writer(path: Path) -> None:
    """A shim killed in the middle of a write costs the frame that it wrote, and no other."""
    writer = OutputLog(path)
    writer.write(OUT, b"whole\n")
    whole = path.stat().st_size
    writer.write(OUT, b"torn by a kill\n")
    writer.close()
    os.truncate(path, path.stat().st_size - 5)
    reader = OutputReader(path)
    assert text(reader.read()) == b"whole\n"
    next_writer = OutputLog(path)
    next_writer.write(OUT, b"next\n")
    assert text(reader.read()) == b"next\n"
    assert whole < path.stat().st_size
    next_writer.close()
    reader.close()


@pytest.mark.parametrize("damage", [b"", b"GT", b"not a log at all, but longer than a head"])
def test_a_file_that_is_no_log_is_begun_anew(path: Path, damage: bytes) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(damage)
    assert OutputReader(path).read() == []
    writer = OutputLog(path)
    writer.write(OUT, b"hello\n")
    writer.close()
    assert [frame.payload for frame in OutputReader(path).read()] == [b"hello\n"]


def test_a_full_disk_costs_counted_bytes_and_the_log_goes_on(path: Path) -> None:
    """What cannot be written is counted, nothing is torn, and the count is told once there is room."""
    writer, reader = OutputLog(path), OutputReader(path)
    writer.write(OUT, b"kept\n")
    with file_limit(path.stat().st_size + 10):
        writer.write(OUT, b"x" * 100)
        writer.write(ERR, b"y" * 50)
        assert writer.lost == 150
        assert text(reader.read()) == b"kept\n"
    writer.write(OUT, b"room again\n")
    frames = reader.read()
    assert [(frame.stream, frame.payload) for frame in frames] == [(LOST, b"150"), (OUT, b"room again\n")]
    assert writer.lost == 0
    writer.close()
    reader.close()


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (0, b""),
        (1, b"four\n"),
        (2, b"three\nfour\n"),
        (4, b"one\ntwo\nthree\nfour\n"),
        (9, b"one\ntwo\nthree\nfour\n"),
    ],
)
def test_the_last_lines_are_counted_over_frames(path: Path, count: int, expected: bytes) -> None:
    """Lines may be split over frames, and frames may hold many lines."""
    writer = OutputLog(path)
    for piece in (b"one\ntw", b"o\n", b"three\nfo", b"ur\n"):
        writer.write(OUT, piece)
    writer.close()
    assert text(last_lines(OutputReader(path).read(), count)) == expected


def test_the_last_line_may_be_unfinished(path: Path) -> None:
    writer = OutputLog(path)
    writer.write(ERR, b"err\n")
    writer.write(OUT, b"out again")
    writer.close()
    assert [frame.payload for frame in last_lines(OutputReader(path).read(), 1)] == [b"out again"]

"""A sparse state: only what was written is read, and every commit has every byte as it was, whether the program asked
for it or it was found out."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from images import fresh_slot, newest_image
from io_ring import Ring

from goldthread.names import Epoch, MemberName, Step
from goldthread.program import writer as writer_module
from goldthread.program.writer import Writer
from goldthread.slots import sparse as sparse_module
from goldthread.slots.kernel import HUGE_PAGE_BYTES
from goldthread.slots.layout import CHUNK_BYTES
from goldthread.slots.writes import WrittenPages, whole_pages
from goldthread.state.restore import read

MIB = 1 << 20
MAP_FIXED = 0x10
ITEMS = 8 * MIB // 8
"""Of an array of 8 MiB."""
Array = np.ndarray[Any, Any]


def new_writer(sparse: bool | None) -> Writer:
    return Writer(MemberName("walk"), Epoch(1), slots_most=3, new_slot=fresh_slot, pickle=False, sparse=sparse)


@pytest.fixture
def asked() -> Iterator[Writer]:
    made = new_writer(True)
    if not made.is_sparse:
        pytest.skip("this kernel does not say which pages were written: Linux 6.7 does")
    yield made
    made.close()


@pytest.fixture
def unasked(asked: Writer, no_device: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Writer]:
    """Any state counts as large, any commit as long, and no huge page is missed."""
    monkeypatch.setattr(writer_module, "_LOOK_BYTES", 0)
    monkeypatch.setattr(sparse_module, "_WORTH", 0)
    monkeypatch.setattr(sparse_module, "_SPLIT_MOST", 1)
    made = new_writer(None)
    yield made
    made.close()


@pytest.fixture(params=["asked", "unasked"])
def writer(request: pytest.FixtureRequest) -> Writer:
    made: Writer = request.getfixturevalue(request.param)
    return made


def commit(writer: Writer, state: dict[str, Any], step: int) -> None:
    """Each commit has what the state is now."""
    assert writer.write(state, Step(step), generators=False) is not None
    stored = read(newest_image(writer), map=False, pickle=False)
    assert list(stored) == list(state)
    for name, value in state.items():
        assert value.tobytes() == stored[name].tobytes(), name


def commit_calmly(writer: Writer, state: dict[str, Any]) -> None:
    """Until every slot has the state, and all of it that can be is followed."""
    for step in range(9):
        commit(writer, state, step)


def chunks_copied(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many chunks each commit from now on copies or reads."""
    counts: list[int] = []

    class Counted(writer_module.PayloadCopy):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments)
            counts.append(len(self.lacking))

    monkeypatch.setattr(writer_module, "PayloadCopy", Counted)
    return counts


def anonymous(bytes: int) -> tuple[mmap.mmap, Array]:
    memory = mmap.mmap(-1, bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    array = np.frombuffer(memory, np.float64)
    array[:] = 1
    return memory, array


def map_anew(address: int, bytes: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    rights, flags = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_FIXED
    assert address == libc.mmap(ctypes.c_void_p(address), ctypes.c_size_t(bytes), rights, flags, -1, 0)


def test_only_what_was_written_is_read(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the chunks that hold the ends of arrays; by all slots in turn, which lack more the older they are."""
    table, other = np.zeros(4 * ITEMS), np.ones(ITEMS)
    commit_calmly(writer, {"table": table, "other": other})
    counts = chunks_copied(monkeypatch)
    for step in range(10, 16):
        commit(writer, {"table": table, "other": other}, step)
    ends = counts[-1]
    assert max(counts) <= 4
    for step in range(16, 22):
        table[step * 2 * CHUNK_BYTES // 8 : step * 2 * CHUNK_BYTES // 8 + 10] = step
        commit(writer, {"table": table, "other": other}, step)
    assert max(counts[6:]) <= ends + 8, (
        "each slot lacks those of three commits, and is not believed in those of one more"
    )
    assert min(counts[8:]) > ends


def test_every_byte_is_there_whatever_is_written(writer: Writer) -> None:
    """Here and there, all over, nothing, in other arrays than before."""
    chance = np.random.default_rng(7)
    state: dict[str, Any] = {f"array{index}": chance.random(ITEMS // 2) for index in range(5)}
    for step in range(120):
        for _ in range(chance.integers(0, 4)):
            array = state[f"array{chance.integers(5)}"]
            at = int(chance.integers(len(array)))
            array[at : at + int(chance.choice([1, 1, 50, 5_000, 300_000]))] = step
        if chance.random() < 0.1:
            name = f"array{chance.integers(5)}"
            state[name] = state[name].copy()
        if chance.random() < 0.05:
            state["array0"] = chance.random(int(chance.integers(ITEMS // 4, ITEMS)))
        commit(writer, state, step)


def write_by_read(array: Array, tmp_path: Path) -> None:
    """The kernel writes, for a system call."""
    (tmp_path / "data").write_bytes(b"\x07" * 5000)
    with (tmp_path / "data").open("rb", buffering=0) as file:
        file.readinto(array.data.cast("B")[40_000:45_000])


def write_in_a_thread(array: Array, tmp_path: Path) -> None:
    thread = threading.Thread(target=array.__setitem__, args=(70_000, 3.0))
    thread.start()
    thread.join()


def write_after_a_fork(array: Array, tmp_path: Path) -> None:
    """The pages are shared with a child then, which writes too, to its own."""
    child = os.fork()
    if child == 0:
        array[:] = 9
        os._exit(0)
    array[80_000] = 4
    os.waitpid(child, 0)


def write_by_another_view(array: Array, tmp_path: Path) -> None:
    array.view(np.uint8)[123_456] = 5


@pytest.mark.parametrize("write", [write_by_read, write_in_a_thread, write_after_a_fork, write_by_another_view])
def test_it_is_seen_who_ever_writes(
    writer: Writer, write: Callable[[Array, Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = np.zeros(ITEMS)
    commit_calmly(writer, {"table": table})
    counts = chunks_copied(monkeypatch)
    write(table, tmp_path)
    for step in range(10, 14):
        commit(writer, {"table": table}, step)
    assert max(counts) <= 4


def test_pages_that_were_given_back_are_read_as_zeros(writer: Writer) -> None:
    """They are written by nobody, and are zero when they are read again."""
    memory, table = anonymous(8 * MIB)
    commit_calmly(writer, {"table": table})
    memory.madvise(mmap.MADV_DONTNEED, MIB, MIB)
    assert not table[MIB // 8 : 2 * MIB // 8].any()
    for step in range(10, 14):
        commit(writer, {"table": table}, step)


def test_what_another_mapping_may_show_is_always_read(
    writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is mapped twice, and written by way of the mapping that no commit sees."""
    (tmp_path / "data").write_bytes(bytes(8 * MIB))
    table = np.memmap(tmp_path / "data", np.float64, "r+")
    other = np.memmap(tmp_path / "data", np.float64, "r+")
    state = {"table": np.asarray(table)}
    commit_calmly(writer, state)
    counts = chunks_copied(monkeypatch)
    for step in range(10, 14):
        other[step * 1000] = step
        commit(writer, state, step)
    assert min(counts) == 8 * MIB // CHUNK_BYTES


def test_a_file_of_any_name_may_be_mapped_beside_it(writer: Writer, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"of \xff\r\x0c\n0-1 rw-p")
    odd.write_bytes(bytes(4096))
    beside, table = np.memmap(odd, np.float64, "r"), np.zeros(ITEMS)
    commit_calmly(writer, {"table": table})
    assert not beside.any()


def test_arrays_that_share_memory_are_always_read(writer: Writer) -> None:
    """What one look takes, the next would miss."""
    table = np.zeros(2 * ITEMS)
    state = {"all": table, "half": table[ITEMS // 2 : ITEMS + ITEMS // 2], "other": np.ones(ITEMS)}
    commit_calmly(writer, state)
    for step in range(10, 20):
        table[step * 70_000] = step
        state["other"][step] = step
        commit(writer, state, step)


def test_what_was_taken_before_an_array_was_seen_to_be_gone_is_noted(writer: Writer) -> None:
    """A part of it is mapped anew; its first page is another's last."""
    memory, both = anonymous(8 * MIB)
    first, second = both[: ITEMS // 2 - 10], both[ITEMS // 2 - 10 :]
    state = {"second": second, "first": first}
    commit_calmly(writer, state)
    map_anew(both.ctypes.data + 6 * MIB, MIB)
    first[-1] = 5
    for step in range(10, 16):
        commit(writer, state, step)
    assert memory is not None


def test_an_array_of_which_much_changes_rests(asked: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read as ever, longer each time, and costs no faults; one beside it is followed on."""
    table, dense = np.zeros(2 * ITEMS), np.zeros(ITEMS)
    followed: list[int] = []
    follow = WrittenPages.follow
    monkeypatch.setattr(WrittenPages, "follow", lambda *words: (followed.append(words[1]), follow(*words)))
    for step in range(40):
        dense += 1
        table[step * 1000] = step
        commit(asked, {"table": table, "dense": dense}, step)
    assert 5 <= len(followed) <= 7, "the table once, the other after 2, 4, 8 and 16 looks"


@pytest.mark.parametrize("moment", ["take", "follow"])
def test_an_interruption_loses_nothing(writer: Writer, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    """As by a signal's handler, after the kernel has told and before it is noted."""
    table = np.zeros(ITEMS)
    if moment == "take":
        commit_calmly(writer, {"table": table})
    done = getattr(WrittenPages, moment)

    def interrupted(*words: Any) -> None:
        done(*words)
        raise KeyboardInterrupt

    table[1000:1010] = 1
    with monkeypatch.context() as patch:
        patch.setattr(WrittenPages, moment, interrupted)
        with pytest.raises(KeyboardInterrupt):
            for step in range(10, 14):
                commit(writer, {"table": table}, step)
    for step in range(14, 20):
        commit(writer, {"table": table}, step)


def test_memory_that_was_mapped_anew_is_not_believed(writer: Writer) -> None:
    """At the same address, with other bytes: what was followed there is gone."""
    memory, table = anonymous(8 * MIB)
    commit_calmly(writer, {"table": table})
    map_anew(table.ctypes.data, 8 * MIB)
    assert not table.any()
    for step in range(10, 16):
        table[step] = step
        commit(writer, {"table": table}, step)
    assert memory is not None


def test_without_the_kernel_all_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*words: Any) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(writer_module, "WrittenPages", missing)
    monkeypatch.setattr(writer_module, "_LOOK_BYTES", 0)
    for writer in new_writer(True), new_writer(None):
        assert not writer.is_sparse
        table = np.zeros(ITEMS)
        for step in range(5):
            table[step] = step
            commit(writer, {"table": table}, step)
        writer.close()


def test_what_changes_all_over_is_not_followed_unasked(unasked: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """It costs such a program nothing, not even an attempt."""
    table = np.zeros(ITEMS)
    followed: list[int] = []
    monkeypatch.setattr(WrittenPages, "follow", lambda *words: followed.append(words[1]))
    for step in range(20):
        table += 1
        commit(unasked, {"table": table}, step)
    assert followed == []


def test_what_changes_here_and_there_is_not_followed_unasked(unasked: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """A quarter of the chunks at each commit, others each time: the next slot to be filled lacks most of them."""
    table = np.zeros(ITEMS)
    followed: list[int] = []
    monkeypatch.setattr(WrittenPages, "follow", lambda *words: followed.append(words[1]))
    for step in range(20):
        table[step % 4 * CHUNK_BYTES // 8 :: 4 * CHUNK_BYTES // 8] += 1
        commit(unasked, {"table": table}, step)
    assert followed == []


def huge_pages(array: Array) -> int:
    pages = WrittenPages()
    start, end = whole_pages(array.ctypes.data, array.ctypes.data + array.nbytes)
    count = int((pages.huge(start, end) @ [-1, 1]).sum()) // HUGE_PAGE_BYTES
    pages.close()
    return count


@pytest.fixture
def huge() -> Array:
    """An array in huge pages."""
    memory = mmap.mmap(-1, 34 * MIB, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    at = -np.frombuffer(memory, np.uint8).ctypes.data % HUGE_PAGE_BYTES
    array = np.frombuffer(memory, np.float64, 4 * ITEMS, at)
    array[:] = 1
    if huge_pages(array) != 16:
        pytest.skip("the kernel gave no huge pages")
    return array


def test_a_program_keeps_its_huge_pages(unasked: Writer, huge: Array, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write splits one. Where that becomes many, they are put together again, and all is read from then on."""
    monkeypatch.setattr(sparse_module, "_SPLIT_MOST", 1 / 8)
    commit_calmly(unasked, {"huge": huge})
    counts = chunks_copied(monkeypatch)
    for step in range(10, 14):
        huge[HUGE_PAGE_BYTES // 8 : 3 * HUGE_PAGE_BYTES // 8 : 50_000] = step
        commit(unasked, {"huge": huge}, step)
    assert huge_pages(huge) == 14
    assert max(counts) < 32 * MIB // CHUNK_BYTES
    huge[ITEMS] = 7
    for step in range(14, 30):
        commit(unasked, {"huge": huge}, step)
    assert huge_pages(huge) >= 14, "all but those at its ends, which may be others' too"
    assert min(counts[4:]) == 32 * MIB // CHUNK_BYTES


def test_one_dense_change_costs_no_huge_page(writer: Writer, huge: Array) -> None:
    """All of it is written, once, while it is followed."""
    commit_calmly(writer, {"huge": huge})
    huge += 1
    assert huge_pages(huge) == 0
    commit(writer, {"huge": huge}, 10)
    assert huge_pages(huge) >= 14


def test_where_commits_take_little_of_the_time_all_is_read(unasked: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_module, "_WORTH", 1e9)
    table = np.zeros(ITEMS)
    counts = chunks_copied(monkeypatch)
    for step in range(12):
        commit(unasked, {"table": table}, step)
    assert min(counts) >= 8 * MIB // CHUNK_BYTES


def test_a_small_state_is_not_followed_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_module, "_WORTH", 0)
    monkeypatch.setattr(writer_module, "WrittenPages", lambda: pytest.fail("the kernel was asked"))
    writer = new_writer(None)
    table = np.zeros(ITEMS)
    for step in range(5):
        commit(writer, {"table": table}, step)
    writer.close()


def test_what_a_device_writes_is_seen(unasked: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel holds on to the pages of an array, and writes them by way of no mapping. It does not say so; that is
    why all is read as long as that may be."""
    (tmp_path / "data").write_bytes(b"\x07" * 10_000)
    table = np.zeros(ITEMS)
    commit_calmly(unasked, {"table": table})
    counts = chunks_copied(monkeypatch)
    commit(unasked, {"table": table}, 9)
    try:
        ring = Ring(table)
    except OSError as error:
        pytest.skip(f"no io_uring here: {error}")
    with (tmp_path / "data").open("rb") as file:
        for step in range(10, 16):
            ring.read(file.fileno(), step * MIB // 4, 10_000)
            assert table.view(np.uint8)[step * MIB // 4] == 7
            commit(unasked, {"table": table}, step)
    ring.close()
    assert counts[0] <= 1, "it was followed"
    assert min(counts[1:]) == 8 * MIB // CHUNK_BYTES, "it was not any more"
    for step in range(16, 26):
        table[step] = step
        commit(unasked, {"table": table}, step)


def test_what_is_written_late_is_in_the_next_commit_and_in_all_after_it(asked: Writer, tmp_path: Path) -> None:
    """The kernel told of a page when somebody took hold of it, and who did wrote after it was copied: a device that was
    quick, or another process by way of process_vm_writev."""
    (tmp_path / "data").write_bytes(b"\x07" * 4096)
    table = np.zeros(ITEMS)
    commit_calmly(asked, {"table": table})
    try:
        ring = Ring(table[1 << 17 : 1 << 18][: 2 * 4096 // 8])
    except OSError as error:
        pytest.skip(f"no io_uring here: {error}")
    commit(asked, {"table": table}, 10)
    with (tmp_path / "data").open("rb") as file:
        ring.read(file.fileno(), 0, 4096)
    assert table.view(np.uint8)[MIB] == 7
    for step in range(11, 18):
        commit(asked, {"table": table}, step)
    ring.close()


def test_asked_for_it_is_not_seen_what_a_device_writes(asked: Writer, tmp_path: Path) -> None:
    """That is the program's own word, and why it is asked for it. Should this fail, it need not be any more."""
    (tmp_path / "data").write_bytes(b"\x07" * 10_000)
    table = np.zeros(ITEMS)
    try:
        ring = Ring(table)
    except OSError as error:
        pytest.skip(f"no io_uring here: {error}")
    commit_calmly(asked, {"table": table})
    with (tmp_path / "data").open("rb") as file:
        ring.read(file.fileno(), MIB, 10_000)
    assert table.view(np.uint8)[MIB] == 7
    assert asked.write({"table": table}, Step(10), generators=False) is not None
    assert read(newest_image(asked), map=False, pickle=False)["table"].view(np.uint8)[MIB] == 0
    ring.close()


def test_without_a_file_to_open_all_is_read(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor is left: what the kernel would say cannot be asked."""
    table, other = np.zeros(ITEMS), np.zeros(ITEMS)
    commit_calmly(writer, {"table": table})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    for step in range(10, 14):
        table[step * 1000] = step
        left = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, most))
        try:
            done = writer.write({"table": other if step == 12 else table}, Step(step), generators=False)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, left)
        assert done is not None
        stored = read(newest_image(writer), map=False, pickle=False)["table"]
        assert stored.tobytes() == (other if step == 12 else table).tobytes()


@pytest.mark.torch
def test_a_table_that_torch_trains_is_sparse(asked: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of an embedding and of its optimizer's moments, written by the threads of torch."""
    torch = pytest.importorskip("torch", reason="install torch, or run make test-torch")
    table = torch.nn.Embedding(100_000, 64, sparse=True)
    optimizer = torch.optim.SparseAdam(table.parameters())
    counts = chunks_copied(monkeypatch)
    for step in range(12):
        optimizer.zero_grad()
        table(torch.randint(0, 100_000, (8,))).pow(2).sum().backward()
        optimizer.step()
        assert asked.write({"table": table, "optimizer": optimizer}, Step(step), generators=False) is not None
        stored = read(newest_image(asked), map=False, pickle=False)
        assert torch.equal(stored["table"]["weight"], table.weight)
        assert torch.equal(stored["optimizer"]["state"][0]["exp_avg"], optimizer.state[table.weight]["exp_avg"])
    assert max(counts[6:]) < max(counts) // 2

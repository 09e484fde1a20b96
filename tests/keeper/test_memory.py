"""Memory for slots is given, or it is said why not."""

from __future__ import annotations

import os
import resource

import pytest

from goldthread.errors import NoRoom
from goldthread.keeper.memory import give_slot, memory_free


def test_a_slot_is_given() -> None:
    descriptor = give_slot("walk", 1 << 20, 0)
    assert os.fstat(descriptor).st_size >= 1 << 20
    os.close(descriptor)


def test_memory_that_must_stay_free_stays_so() -> None:
    free = memory_free()
    assert free is not None
    with pytest.raises(NoRoom, match="must stay so"):
        give_slot("walk", 1 << 20, 2 * free)


@pytest.mark.parametrize(
    ("limit", "most", "said"), [(resource.RLIMIT_FSIZE, 1 << 20, "ulimit -f"), (resource.RLIMIT_NOFILE, 0, "ulimit -n")]
)
def test_a_limit_of_the_process_is_named(limit: int, most: int, said: str) -> None:
    soft, hard = resource.getrlimit(limit)
    resource.setrlimit(limit, (most, hard))
    try:
        with pytest.raises(NoRoom) as refused:
            give_slot("walk", 4 << 20, 0)
    finally:
        resource.setrlimit(limit, (soft, hard))
    assert said in str(refused.value.hint)

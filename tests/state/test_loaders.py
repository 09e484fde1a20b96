"""Data loaders of torch, as docs/guides/data.md says that they are restored: each batch comes as it would have."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from images import new_writer, newest_image

from goldthread.names import Step
from goldthread.state.restore import pour

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch", reason="install torch, or run make test-torch")

SEED = 7
EPOCHS = 3


class Numbers(torch.utils.data.Dataset[Any]):
    """What is drawn for a sample comes from the global generator of the program; with `apart` the sample decides it."""

    def __init__(self, *, apart: bool) -> None:
        self.apart = apart

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Any:
        generator = torch.Generator().manual_seed(index) if self.apart else None
        return torch.tensor([index, float(torch.rand(1, generator=generator))])


Batches = Iterator[tuple[dict[str, Any], Any]]


def plain(workers: int) -> tuple[dict[str, Any], Callable[[dict[str, Any]], Batches]]:
    """A DataLoader that is given what is left of an epoch."""
    data = Numbers(apart=workers > 0)

    def batches(state: dict[str, Any]) -> Batches:
        while state["epoch"] < EPOCHS:
            order = torch.randperm(len(data), generator=torch.Generator().manual_seed(SEED + state["epoch"])).tolist()
            left = order[state["done"] :]
            for batch in torch.utils.data.DataLoader(
                data, 3, sampler=left, generator=torch.Generator(), num_workers=workers
            ):
                state["done"] += 3
                yield state, batch
            state["epoch"], state["done"] = state["epoch"] + 1, 0

    return {"epoch": 0, "done": 0}, batches


def stateful(workers: int) -> tuple[dict[str, Any], Callable[[dict[str, Any]], Batches]]:
    """A StatefulDataLoader, whose generator is set by the number of the epoch before each iteration begins."""
    from torchdata.stateful_dataloader import StatefulDataLoader

    draws = torch.Generator()
    loader = StatefulDataLoader(Numbers(apart=workers > 0), 3, shuffle=True, num_workers=workers, generator=draws)

    def batches(state: dict[str, Any]) -> Batches:
        while state["epoch"] < EPOCHS:
            draws.manual_seed(SEED + state["epoch"])
            for batch in loader:
                yield state, batch
            state["epoch"] += 1

    return {"epoch": 0, "loader": loader}, batches


def main(make: Any, workers: int) -> None:
    torch.manual_seed(1)
    state, batches = make(workers)
    images, seen = [], []
    writer = new_writer()
    for at, (now, batch) in enumerate(batches(state)):
        seen.append(batch.tolist())
        writer.write(now, Step(at), generators=True)
        images.append(bytes(newest_image(writer)))
    assert len(seen) == 4 * EPOCHS
    for at in range(len(seen)) if workers == 0 else (1, 3, 6):
        torch.manual_seed(99)
        initial, batches = make(workers)
        restored = pour(memoryview(images[at]), initial, map=False, pickle=False, generators=True).state
        assert seen[at + 1 :] == [batch.tolist() for _, batch in batches(restored)], at


@pytest.mark.parametrize("make", ["plain", "stateful"])
@pytest.mark.parametrize("workers", [0, 1])
def test_each_batch_after_a_restore_is_what_it_would_have_been(make: str, workers: int) -> None:
    """From every step on, beyond the end of the epoch; in a process that has no threads, since workers are forked."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, __file__, make, str(workers)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


if __name__ == "__main__":
    main({"plain": plain, "stateful": stateful}[sys.argv[1]], int(sys.argv[2]))

"""What tests of the program's side share."""

from __future__ import annotations

import pytest

from goldthread.slots.devices import open_device


@pytest.fixture
def no_device() -> None:
    """Skip where this run has something open by way of which a device may write: pytest's own files may be."""
    found = open_device()
    if found is not None:
        pytest.skip(f"{found} is open, and no program that has it follows what is written")

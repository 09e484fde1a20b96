"""One round over the descriptors that are ready, shared by the keeper's loop and the shim."""

from __future__ import annotations

from selectors import BaseSelector

__all__ = ["call_ready"]


def call_ready(selector: BaseSelector, seconds: float | None) -> None:
    """Wait until something is ready, and call what was registered with each descriptor that is.

    A call may let others of the same round go: a program's end reads its output to the end and closes it. Those are
    not called any more, since their number may be another's by then.
    """
    for key, _ in selector.select(seconds):
        if selector.get_map().get(key.fd) is key:
            key.data()

"""One round over what is ready."""

from __future__ import annotations

import os
import selectors

from goldthread.keeper.ready import call_ready


def test_what_a_call_lets_go_is_not_called_in_the_same_round() -> None:
    """Both are ready; each reads the other to its end and closes it, as a program's end does with its output."""
    pipes = {name: os.pipe() for name in ("one", "other")}
    called = []
    with selectors.DefaultSelector() as selector:

        def call(name: str, other: str) -> None:
            called.append(name)
            selector.unregister(pipes[other][0])
            os.close(pipes[other][0])

        for name, other in (("one", "other"), ("other", "one")):
            os.write(pipes[name][1], b"ready")
            selector.register(pipes[name][0], selectors.EVENT_READ, lambda n=name, o=other: call(n, o))
        call_ready(selector, 1.0)
    assert len(called) == 1
    for reader, writer in (pipes[called[0]], pipes["one" if called[0] == "other" else "other"]):
        os.close(writer)
        if reader == pipes[called[0]][0]:
            os.close(reader)

"""Joining: a process becomes the next life of a member."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import cast

from goldthread.errors import UsageError
from goldthread.local import Home, reach_keeper
from goldthread.names import Epoch, MemberName, member_name
from goldthread.program.life import Life
from goldthread.program.telling import tell
from goldthread.wire.messages import Joined, JoinRequest

__all__ = ["join"]


def join(
    name: str | None = None,
    *,
    fresh: bool = False,
    pickle: bool = False,
    generators: bool = True,
    sparse: bool | None = None,
) -> Life:
    """Become the next life of a member, and start this host's keeper if there is none.

    `name` defaults to the one that `goldthread run` gave, else to the script's. With `fresh` the member starts over:
    commits of earlier lives are not used any more. With `pickle` leaves that cannot be stored otherwise are pickled,
    and restoring them runs the code that the pickle names. With `generators` the states of the global generators
    (`random`, NumPy's, torch's) travel with every commit and are put back by `restore`.

    Of a large state of which little changes between two commits only what was written is read, as the kernel tells it
    (Linux 6.7). That is found out by itself, where commits take more than a tenth of the program's time, and as
    long as no device is open that could write into memory unseen. With `sparse=True` it is so from the first commit
    on, whatever is open: say it only where no array of the state is in memory that a driver holds on to (registered
    with CUDA or RDMA, fixed buffers of io_uring, a read with O_DIRECT that is under way during a commit), since what
    a device writes there would be missed. With `sparse=False` every commit reads all of the state.

    Raises `MemberTaken` where a living process has this name, `NothingToRestore` where commits should be there and
    none is whole, `KeeperUnreachable` where no keeper can be started, `UsageError` for a name that cannot be one and a
    `sparse` that is none of the three.
    """
    member = _name_of(name)
    if sparse not in (None, True, False):
        raise UsageError(f"sparse={sparse!r} is no answer", hint="None finds out by itself, True and False decide")
    home = Home.default()
    supervised = os.environ.get("GOLDTHREAD_MEMBER") == member
    epoch = Epoch(int(os.environ.get("GOLDTHREAD_EPOCH", "0"))) if supervised else None
    channel = reach_keeper(home, "program")
    try:
        answer, descriptors = channel.ask(JoinRequest(member, os.getpid(), epoch, fresh))
    except BaseException:
        channel.close()
        raise
    life = Life(member, home, cast(Joined, answer), descriptors, pickle=pickle, generators=generators, sparse=sparse)
    life._connect(channel)
    tell(life.reason)
    if sparse and not life.is_sparse:
        tell("this kernel does not say which pages were written: every commit reads all of the state")
    given = os.environ.get("GOLDTHREAD_MEMBER", member)
    if given != member:
        tell(
            f"this program runs as {given} and joins as {member}: the state is kept for {member}, restarts for {given};"
            f" goldthread run --name {member} makes one of the two"
        )
    return life


def _name_of(name: str | None) -> MemberName:
    if name is not None:
        if not isinstance(name, str):
            raise UsageError(f"{name!r} cannot name a member", hint='a name is text: goldthread.join("walk")')
        return member_name(name)
    given = os.environ.get("GOLDTHREAD_MEMBER")
    if given:
        return member_name(given)
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        parts = spec.name.removesuffix(".__main__").split(".")
        return member_name(parts[-1])
    file = getattr(main, "__file__", None)
    if not file:
        raise UsageError("this program has no script to be named after", hint='name it: goldthread.join("walk")')
    return member_name(Path(file).stem)

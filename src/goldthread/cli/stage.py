"""A stage: a temporary home with a keeper of its own, for `demo` and `check`. Nothing is left of it afterwards.

What happens on a stage is real; only the home is not the user's. Whoever waits there waits for facts, seen in the
keeper's report or in the journal, within a limit.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import monotonic, sleep
from typing import Final, NoReturn, TypeVar

from goldthread.cli.asking import report_of
from goldthread.errors import GoldthreadError, KeeperError, KeeperUnreachable
from goldthread.keeper.journal import Journal
from goldthread.local import Channel, Home, connect, reach_keeper
from goldthread.names import CommitId, MemberName, Span
from goldthread.policy import Budget
from goldthread.report import Ending, KeeperReport, LifeReport, MemberReport, Phase
from goldthread.wire.messages import Command, CopyFound, CopyRequest, KeeperStopRequest, RunRequest

__all__ = ["Stage", "end_processes", "open_stages", "processes_of", "state_differences"]

_LOOK_SECONDS: Final = 0.002
_STOP_SECONDS: Final = 5.0
_GONE_SECONDS: Final = 5.0
_ENDS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What ends a command that its user does not want any more. The first raises `KeyboardInterrupt` already."""
_AT_REST: Final = frozenset({Phase.ENDED, Phase.LIMBO, Phase.DOWN})

T = TypeVar("T")


class Stage:
    """One home and, in it, one member."""

    def __init__(self, folder: Path, member: MemberName) -> None:
        self.home = Home(folder)
        self.member = member
        self._channel: Channel | None = None

    def run(
        self, argv: Sequence[str], environment: Mapping[str, str], *, restarts: int, hang_floor: Span | None = None
    ) -> None:
        """Start the member here, in the present folder."""
        own = {**os.environ, **environment}
        command = Command(tuple(argv), str(Path.cwd()), own)
        with reach_keeper(self.home, "command") as channel:
            channel.ask(RunRequest(self.member, command, Budget(restarts), False, hang_floor))

    def configure(self, *, policy: Mapping[str, str] | None = None, **settings: str) -> None:
        """Write the settings of the keeper that will be started here."""
        self.home.make()
        tables = (("keeper", settings), ("policy", policy or {}))
        lines = "".join(
            f"[{title}]\n" + "".join(f'{name} = "{value}"\n' for name, value in table.items())
            for title, table in tables
        )
        path = self.home.path / "goldthread.toml"
        path.touch(mode=0o600)
        path.write_text(lines)

    def keeper_pid(self) -> int:
        return self.keeper_report().pid

    def keeper_report(self) -> KeeperReport:
        """Raises `KeeperUnreachable` where no keeper answers."""
        try:
            if self._channel is None:
                self._channel = connect(self.home, "command")
            return report_of(self._channel)
        except KeeperUnreachable:
            self._hang_up()
            raise

    def report(self) -> MemberReport | None:
        """What the keeper says of the member; None where no keeper answers."""
        try:
            members = self.keeper_report().members
        except KeeperUnreachable:
            return None
        return next((one for one in members if one.name == self.member), None)

    def wait(self, what: str, look: Callable[[MemberReport], T | None], limit_seconds: float = 60.0) -> T:
        """Look at the report until `look` finds something in it. Raises `KeeperError` where it never does, and at
        once where the member came to rest without it."""
        deadline = monotonic() + limit_seconds
        while True:
            report = self.report()
            found = look(report) if report is not None else None
            if found is not None:
                return found
            if report is not None and report.phase in _AT_REST:
                raise KeeperError(f"{self.member} came to rest before {what}: {report.reason}{self._last_words()}")
            if monotonic() > deadline:
                raise KeeperError(f"waited {limit_seconds:g} s in vain for {what}{self._last_words()}")
            sleep(_LOOK_SECONDS)

    def wait_rest(self, limit_seconds: float) -> MemberReport:
        """Wait until the member is at rest and its commit in the vault."""
        return self.wait("its end", lambda report: report if report.phase in _AT_REST else None, limit_seconds)

    def lives(self) -> list[LifeReport]:
        journal = Journal.look(self.home.journal)
        if journal is None:
            return []
        try:
            return journal.lives(self.member)
        finally:
            journal.close()

    def ending(self) -> Ending | None:
        lives = self.lives()
        return lives[-1].ending if lives else None

    def newest(self) -> tuple[CommitId, int]:
        """The newest whole commit and a descriptor of its bytes, which the caller closes."""
        with reach_keeper(self.home, "command") as channel:
            answer, descriptors = channel.ask(CopyRequest(self.member))
        assert isinstance(answer, CopyFound)
        return answer.commit, descriptors[0]

    def close(self) -> None:
        """End every process of this home and remove it."""
        self._hang_up()
        with contextlib.suppress(GoldthreadError, TimeoutError), connect(self.home, "command") as channel:
            channel.ask(KeeperStopRequest(stop_members=True), timeout=_STOP_SECONDS)
        end_processes(self.home)
        shutil.rmtree(self.home.path, ignore_errors=True)

    def _last_words(self) -> str:
        ending = self.ending()
        return f"\n{ending.detail}" if ending is not None and ending.detail else ""

    def _hang_up(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


@contextlib.contextmanager
def open_stages(member: MemberName, *names: str) -> Iterator[list[Stage]]:
    """Stages side by side in one temporary folder, gone at the end, also after Ctrl-C, SIGTERM or a closed terminal."""
    # A user's own settings for the keeper are not meant for this one.
    for variable in [name for name in os.environ if name.startswith("GOLDTHREAD_")]:
        del os.environ[variable]
    folder = Path(tempfile.mkdtemp(prefix="goldthread-"))
    stages = [Stage(folder / name, member) for name in names]
    before = {number: signal.getsignal(number) for number in _ENDS}
    for number in _ENDS[1:]:
        signal.signal(number, _exit)
    try:
        yield stages
    finally:
        for number in _ENDS:
            signal.signal(number, signal.SIG_IGN)
        try:
            for stage in stages:
                stage.close()
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _exit(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)


def state_differences(one: int, other: int) -> tuple[str, ...]:
    """Every place where the states of two commits, given by descriptors of their images, differ.

    The global generators that travel with a state are left out: they begin differently in every process that does
    not seed them, and where a program draws from them its state shows it.
    """
    from goldthread.state.compare import compare_images  # It loads NumPy.

    differences = compare_images(one, other).differences
    return tuple(str(found) for found in differences if not found.place.startswith("generators"))


def processes_of(home: Home) -> list[int]:
    """Every process that belongs to a home: its keeper and shims (by their command line), its programs and what
    they started (by their environment)."""
    path = os.fsencode(home.path)
    variable = b"GOLDTHREAD_HOME=" + path
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        pid = int(folder.name)
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # It ended, or is another user's.
        if pid != os.getpid() and (path in words or variable in environment):
            found.append(pid)
    return found


def end_processes(home: Home) -> None:
    """Kill every process of a home, and wait until they are gone. A shim that is left starts a keeper, so the
    list is read again until it stays empty."""
    deadline = monotonic() + _GONE_SECONDS
    while (left := processes_of(home)) and monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        sleep(_LOOK_SECONDS)

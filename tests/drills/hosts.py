"""Hosts for drills with bonds: each a place on a network of their own, with a keeper, and a command line of its own.

What a user would do is done by the command line, in the host's place. What happens is read from the keeper's report,
which is asked through its door: a Unix socket is reached from any namespace. Every wait is for something that a report
or the ledger tells.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

from lease_servers import Etcd
from ledger import Line, check_ledger, read_ledger
from network import Network, Place, skip_without_namespaces
from stage import WALK, undisturbed, wait_gone

from goldthread.errors import KeeperUnreachable
from goldthread.keeper.cgroup import clear_groups
from goldthread.keeper.journal import Journal
from goldthread.local import Home, connect
from goldthread.names import MemberName
from goldthread.report import (
    BondReport,
    Contact,
    Guard,
    HeldReport,
    HolderState,
    KeeperReport,
    LifeReport,
    MemberReport,
    OwnerState,
    Phase,
)
from goldthread.wire.messages import ReportRequest

__all__ = ["CARRIER", "KEEPER", "SHIM", "Host", "Hosts"]

KEEPER: Final = b"goldthread.keeper.main"
SHIM: Final = b"goldthread.keeper.shim"
CARRIER: Final = b"goldthread.keeper.carrier"
_PROGRAM: Final = Path(__file__).with_name("walk.py")
_PATIENCE_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.02
_CIRCLE_PORT: Final = 7447
_CIRCLE_HOSTS: Final = 4

T = TypeVar("T")


class Host:
    """One host, by its keeper and the walk."""

    def __init__(self, hosts: Hosts, name: str, place: Place, home: Home) -> None:
        self.name = name
        self.place = place
        self.home = home
        self._hosts = hosts

    # What a user does

    def cli(self, *words: str, status: int = 0, env: Mapping[str, str] | None = None) -> str:
        """What the command wrote to standard output; where another status than 0 is expected, to standard error."""
        done = subprocess.run(
            [*self.place.enter, sys.executable, "-m", "goldthread", *words], cwd=self._hosts.folder / "programs",
            capture_output=True, text=True, check=False, timeout=_PATIENCE_SECONDS, stdin=subprocess.DEVNULL,
            env={**self.variables(), **(env or {})},
        )  # fmt: skip
        assert done.returncode == status, (
            f"{self.name}: {words} ended with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
        return done.stderr if status else done.stdout

    def run(self, steps: int, *fault: str, name: MemberName = WALK, options: tuple[str, ...] = (), **walk: str) -> None:
        """Start the walk. `walk` are its variables: `size="1000"` is WALK_SIZE."""
        env = {f"WALK_{key.upper()}": value for key, value in walk.items()} | self._hosts.walk_environment(name)
        command = (sys.executable, _PROGRAM.name, str(steps), *fault)
        self.cli("run", "--name", name, "--detach", *options, "--", *command, env=env)

    def why(self, name: MemberName = WALK) -> dict[str, Any]:
        """As `goldthread why` tells it."""
        return json.loads(self.cli("why", name, "--json"))

    def causes(self, name: MemberName = WALK) -> list[str]:
        """Why each life that this host knows of ended, as `goldthread why` tells it."""
        return [life["ending"]["kind"] for life in self.why(name)["lives"]]

    def blames(self, owner: str, name: MemberName = WALK) -> None:
        """`goldthread why` tells here that a life was lost with its owner's host, and that the next one ended well."""
        lives = self.why(name)["lives"]
        assert len(lives) == 2, lives
        lost, ended = (life["ending"] for life in lives)
        assert (lost["kind"], ended["kind"]) == ("host lost", "finished")
        assert f"{owner} is silent: " in lost["text"]

    def start_keeper(self) -> None:
        """As the command line does, which would only take longer. Its door is open when this returns."""
        command = [*self.place.enter, sys.executable, "-m", "goldthread.keeper.main", str(self.home.path)]
        subprocess.run(command, check=True, timeout=_PATIENCE_SECONDS, env=self.variables(), stdin=subprocess.DEVNULL)

    def variables(self) -> dict[str, str]:
        """The user's environment."""
        others = {name: value for name, value in os.environ.items() if not name.startswith("GOLDTHREAD_")}
        return others | {"GOLDTHREAD_HOME": str(self.home.path)}

    # What is

    def report(self) -> KeeperReport | None:
        """None where no keeper answers."""
        try:
            with connect(self.home, "command") as channel:
                return channel.ask(ReportRequest())[0].report
        except KeeperUnreachable:
            return None

    def member(self, name: MemberName = WALK) -> MemberReport | None:
        report = self.report()
        return next((one for one in report.members if one.name == name), None) if report else None

    def held(self, name: MemberName = WALK) -> HeldReport | None:
        report = self.report()
        return next((one for one in report.helds if one.member == name), None) if report else None

    def bond(self, partner: str) -> BondReport | None:
        report = self.report()
        return next((one for one in report.bonds if one.name == partner), None) if report else None

    def alarms(self) -> str:
        """All that the keeper said aloud, one in a line."""
        report = self.report()
        found = [] if report is None else [*report.alarms, *(one for m in report.members for one in m.alarms)]
        return "\n".join(alarm.text for alarm in found)

    def lives(self) -> list[LifeReport]:
        journal = Journal.look(self.home.journal)
        assert journal is not None
        with contextlib.closing(journal):
            return journal.lives(WALK)

    def walk_pid(self, name: MemberName = WALK) -> int:
        member = self.member(name)
        assert member is not None and member.pid is not None
        return member.pid

    # What is waited for

    def until(self, holds: Callable[[MemberReport], bool], what: str, name: MemberName = WALK) -> MemberReport:
        def look() -> MemberReport | None:
            member = self.member(name)
            return member if member is not None and holds(member) else None

        return self._hosts.until(look, f"{name} on {self.name}: {what}")

    def until_step(self, step: int, life: int = 1) -> MemberReport:
        """A life runs here and has sealed this step."""
        return self.until(lambda member: _has_sealed(member, step, life), f"step {step} sealed in life {life}")

    def until_held(self, step: int, life: int = 1) -> MemberReport:
        """A life runs here, and its partner holds this step of it."""
        return self.until(
            lambda member: _has_sealed(member, step, life) and member.held is not None
            and member.held.commit.step >= step and member.owner_state is OwnerState.BONDED,
            f"step {step} held in life {life}",
        )  # fmt: skip

    def until_guarded(self, step: int, name: MemberName = WALK) -> MemberReport:
        """Its lease or a promise vouches for the life here, and its partner holds this step of it."""
        return self.until(
            lambda member: member.guard is not Guard.NONE and bool(member.vouched) and member.held is not None
            and member.held.commit.step >= step,
            f"step {step} held, under guard", name,
        )  # fmt: skip

    def until_holder(self, of: str) -> HeldReport:
        """This host holds the walk for another, whole and up to its newest commit, and could run it."""

        def look() -> HeldReport | None:
            held, bond = self.held(), self.bond(of)
            is_up = held is not None and bond is not None and held.partner == bond.partner and held.behind == 0
            return held if is_up and held.bundled else None

        return self._hosts.until(look, f"{self.name} holds the walk for {of}")

    def until_held_state(self, state: HolderState) -> None:
        """What this host does for the walk that it holds."""

        def look() -> HeldReport | None:
            held = self.held()
            return held if held is not None and held.state is state else None

        self._hosts.until(look, f"{self.name} is {state.value} of the walk")

    def until_contact(self, partner: str, contact: Contact) -> None:
        def look() -> BondReport | None:
            bond = self.bond(partner)
            return bond if bond is not None and bond.contact is contact else None

        self._hosts.until(look, f"{partner} is {contact.value} for {self.name}")

    def until_alarm(self, words: str) -> None:
        self._hosts.until(lambda: words in self.alarms(), f"{self.name} says {words!r}")

    # What is done to it

    def kill(self, *words: bytes) -> None:
        """SIGKILL for all processes with these words in their command line, and wait until they are gone."""
        found = [pid for word in words for pid in self.place.processes(word)]
        assert found, f"none of {words} runs on {self.name}"
        self._end([(pid, os.pidfd_open(pid)) for pid in found])

    def kill_walk(self) -> None:
        self.kill_process(self.walk_pid())

    def kill_process(self, pid: int) -> None:
        self._end([(pid, os.pidfd_open(pid))])

    def signal_keeper(self, number: int) -> None:
        (pid,) = self.place.processes(KEEPER)
        os.kill(pid, number)

    def freeze_keeper(self) -> None:
        """Not while it has the lock of a file of leases: that would hold up every other keeper."""
        with self._hosts.leases_untouched():
            self.signal_keeper(signal.SIGSTOP)

    @staticmethod
    def _end(found: list[tuple[int, int]]) -> None:
        for pid, _ in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for _, pidfd in found:
            wait_gone(pidfd)


class Hosts:
    """The hosts of one drill, as a context. With `lease_store` they share one: `sqlite` on a disk of them all, or
    `etcd` on a host `store` of its own. `policy` is written into the settings of each. With
    `circle` all of them are in it, and know where the others may be."""

    def __init__(self, folder: Path, *names: str, lease_store: str = "sqlite", circle: str = "", **policy: str) -> None:
        skip_without_namespaces()
        self.folder = folder
        self.etcd: Etcd | None = None
        self._names = names
        self._kind = lease_store
        self._circle = circle
        self._policy = policy
        self._network = Network()
        self._hosts: dict[str, Host] = {}

    def __enter__(self) -> Hosts:
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def __getitem__(self, name: str) -> Host:
        return self._hosts[name]

    def _open(self) -> None:
        (self.folder / "programs").mkdir()
        shutil.copy(_PROGRAM, self.folder / "programs")
        self._network.open()
        if self._kind == "etcd":
            place = self._network.add("store")
            self.etcd = Etcd(self.folder / "etcd", place.address, place.enter)
        hosts = [self._prepare(name, "", self._circle) for name in self._names]
        with ThreadPoolExecutor() as threads:
            list(threads.map(Host.start_keeper, hosts))

    def _close(self) -> None:
        """Remove it all, also while a user is impatient."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            if self.etcd is not None:
                self.etcd.close()
            self._network.close()
            for host in self._hosts.values():
                clear_groups(host.home.path)
        finally:
            signal.signal(signal.SIGINT, before)

    def add(self, name: str, *, disk: str = "", circle: str | None = None) -> Host:
        """Another host, whose keeper runs; `disk` is the size of its own, where it has one, `circle` its own secret."""
        host = self._prepare(name, disk, self._circle if circle is None else circle)
        host.start_keeper()
        return host

    def _prepare(self, name: str, disk: str, circle: str) -> Host:
        place = self._network.add(name)
        host = self._hosts[name] = Host(self, name, place, Home(self.folder / name))
        if disk:
            place.mount_disk(host.home.path, disk)
        host.home.make()
        store = {"etcd": lambda: self.etcd.address("leases"), "sqlite": lambda: f"sqlite://{self.folder}/leases"}
        settings = {"name": name, "lease_store": store[self._kind]()} if self._kind else {"name": name}
        if circle:
            places = [f"{address}:{_CIRCLE_PORT}" for address in self._network.addresses(_CIRCLE_HOSTS)]
            settings |= {"circle": circle, "listen": f":{_CIRCLE_PORT}", "keepers": ",".join(places)}
        lines = ["[keeper]", *_toml(settings), "[policy]", *_toml(self._policy)]
        (host.home.path / "goldthread.toml").write_text("\n".join(lines))
        return host

    def tie(self, one: str, other: str, *, mine: tuple[str, ...] = (), theirs: tuple[str, ...] = ()) -> None:
        """A bond, by an invitation of `one` with its terms, and wait until both hear each other."""
        code = self[one].cli("bond", "invite", *mine).strip()
        self[other].cli("bond", "accept", code, *theirs)
        for here, there in ((one, other), (other, one)):
            self[here].until_contact(there, Contact.FRESH)

    # Faults

    def cut(self, source: str, target: str, *, one_way: bool = False) -> None:
        """Lose the link between two hosts, in silence; with `one_way` only what goes from `source` to `target`."""
        self._network.cut(source, target)
        if not one_way:
            self._network.cut(target, source)

    def mend(self, source: str, target: str, *, one_way: bool = False) -> None:
        self._network.mend(source, target)
        if not one_way:
            self._network.mend(target, source)

    def bytes_to(self, name: str) -> int:
        return self._network.bytes_to(name)

    def kill_host(self, *names: str) -> None:
        """As power goes: first the cables, so that no word gets out, then every process; its memory is gone."""
        for name in names:
            self._network.set_link(name, up=False)
        for name in names:
            host = self[name]
            while left := host.place.processes():
                for pid in left:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            with contextlib.closing(sqlite3.connect(host.home.journal)) as journal, journal:
                journal.execute("UPDATE keepers SET boot = 'the boot before'")

    @contextlib.contextmanager
    def leases_untouched(self) -> Iterator[None]:
        """Nobody reads or writes the file of leases meanwhile, where there is one."""
        if not (self.folder / "leases").exists():
            yield
            return
        with contextlib.closing(sqlite3.connect(self.folder / "leases", 60, isolation_level=None)) as leases:
            leases.execute("BEGIN EXCLUSIVE")
            yield

    def lose_leases(self) -> None:
        """The disk with the leases is gone."""
        (self.folder / "leases").rename(self.folder / "leases.lost")

    def start_host(self, *names: str) -> None:
        """As it boots: the cable is in, and something starts its keeper."""
        for name in names:
            self._network.set_link(name, up=True)
            self[name].start_keeper()

    # The walk

    def walk_environment(self, name: MemberName = WALK) -> dict[str, str]:
        return {f"WALK_{key.upper()}": str(self.folder / f"{name}.{key}") for key in ("end", "hold", "ledger")}

    def hold_at(self, step: int, name: MemberName = WALK) -> None:
        """Have the walk wait once it has reached this step."""
        beside = self.folder / f"{name}.hold.new"
        beside.write_text(str(step))
        beside.rename(self.folder / f"{name}.hold")

    def walk_on(self, steps: int = 20) -> int:
        """Have the walk go so many steps further than it has come; the step where it waits then."""
        step = self.ledger()[-1].step + steps
        self.hold_at(step)
        return step

    def let_go(self, name: MemberName = WALK) -> None:
        (self.folder / f"{name}.hold").unlink(missing_ok=True)

    def ledger(self, name: MemberName = WALK) -> list[Line]:
        return read_ledger(self.folder / f"{name}.ledger")

    def ends_well(
        self, host: Host, steps: int, *, size: int = 50_000, name: MemberName = WALK, memory_lost: bool = False
    ) -> None:
        """Let the walk end, on this host, as if nothing had happened; and nothing that must not be was written."""
        self.let_go(name)
        host.until(lambda member: member.phase is Phase.ENDED, "a peaceful end", name)
        assert (self.folder / f"{name}.end").read_text() == undisturbed(steps, size)
        check_ledger(self.ledger(name), memory_lost=memory_lost)

    # Waiting

    def until_ledger(self, step: int) -> None:
        """The walk has passed this step, whatever keepers know."""
        self.until(lambda: self.ledger()[-1].step >= step, f"step {step}")

    def until(self, look: Callable[[], T | None], what: str) -> T:
        """Look until something is found. What all hosts said is shown where that never comes."""
        limit = time.monotonic() + _PATIENCE_SECONDS
        while not (found := look()):
            assert time.monotonic() < limit, f"in vain was waited for: {what}\n{self._words()}"
            time.sleep(_LOOK_SECONDS)
        return found

    def _words(self) -> str:
        said = [f"== {line}" for line in self.ledger()[-5:]]
        for host in self._hosts.values():
            said += [f"== {host.name}", str(host.report()), host.home.log.read_text()]
            said += [path.read_text() for path in sorted(host.home.path.glob("carrier*.log"))]
        return "\n".join(said)


def _has_sealed(member: MemberReport, step: int, life: int) -> bool:
    sealed = None if member.sealed is None else member.sealed.commit
    is_here = member.phase is Phase.RUNNING and member.epoch >= life
    return is_here and sealed is not None and sealed.epoch == member.epoch and sealed.step >= step


def _toml(settings: Mapping[str, str]) -> list[str]:
    return [f"{name} = {json.dumps(value)}" for name, value in settings.items()]

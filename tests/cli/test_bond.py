"""Two keepers on one machine, each with a home of its own, as the users of two hosts meet them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from lease_servers import Moto
from processes import end_processes_of
from shell import Shell

from goldthread.local import Home

WALK = """
import time, goldthread
with goldthread.join("walk") as life:
    state = life.restore({"step": 0})
    print(f"life {life.epoch} from step {state['step']}", flush=True)
    while state["step"] < 10_000:
        state["step"] += 1
        life.commit(state, wait="held" if state["step"] == 10 else "sealed")
        if state["step"] == 10:
            print("held", flush=True)
        time.sleep(0.02)
"""


class Host:
    """A home, and the shell of its user."""

    def __init__(self, name: str, folder: Path) -> None:
        folder.mkdir()
        self.name = name
        self.home = Home(folder / "home")
        told = {"GOLDTHREAD_HOME": str(self.home.path), "GOLDTHREAD_NAME": name, "GOLDTHREAD_LISTEN": "127.0.0.1"}
        self.shell = Shell(folder, {**os.environ, **told})

    def __call__(self, *arguments: str, status: int = 0) -> str:
        """Run a command to its end and return what it wrote: its data, or where it fails its complaint."""
        done = self.shell(*arguments)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout if status == 0 else done.stderr

    def asked(self, *arguments: str) -> Any:
        return json.loads(self.shell(*arguments, "--json").stdout)

    def wait(self, condition: Callable[[Any], bool], *arguments: str) -> Any:
        """Ask until it is so; the limit is the test's own."""
        while not condition(found := self.asked(*arguments)):
            pass
        return found

    def wait_words(self, words: str, *arguments: str) -> None:
        """Ask until this is said: on a busy host a partner may seem silent for a moment."""
        while words not in self.shell(*arguments).stdout:
            pass

    def die(self) -> None:
        """All of it at once, as if the power went."""
        end_processes_of(self.home)

    def close(self) -> None:
        self.shell.close()
        self.die()


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Host, Host]]:
    for name in ("GOLDTHREAD_MEMBER", "GOLDTHREAD_EPOCH"):
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as stack:
        iruka, kakashi = (Host(name, tmp_path / name) for name in ("iruka", "kakashi"))
        stack.callback(iruka.close)
        stack.callback(kakashi.close)
        yield iruka, kakashi


def tie(iruka: Host, kakashi: Host) -> None:
    kakashi("bond", "accept", iruka("bond", "invite").strip())


def test_one_line_ties_two_hosts(hosts: tuple[Host, Host]) -> None:
    """The code alone goes to standard output; both sides see the bond and the terms of both."""
    iruka, kakashi = hosts
    invited = iruka.shell("bond", "invite", "--memory", "8GiB", "--takeover", "ask")
    assert len(invited.stdout.splitlines()) == 1
    assert "goldthread bond accept" in invited.stderr
    assert kakashi("bond", "accept", invited.stdout.strip(), "--emergency", "yes") == "kakashi and iruka are bonded\n"
    for one, other in (hosts, hosts[::-1]):
        assert one("bond", "list").startswith(f"{one.name} is bonded with {other.name}\n")
    [bond] = kakashi.wait(lambda found: found["bonds"][0]["contact"] == "fresh", "bond", "list")["bonds"]
    assert bond["theirs"]["memory"] == 8 << 30
    assert (bond["theirs"]["takeover"], bond["mine"]["emergency"]) == ("ask", True)


def test_terms_are_changed_and_the_bond_is_ended_in_peace(hosts: tuple[Host, Host]) -> None:
    """The other side hears of both; what is left is told with its way out."""
    iruka, kakashi = hosts
    tie(iruka, kakashi)
    much = iruka.shell("bond", "terms", "kakashi", "--memory", "9000TiB")
    assert "this host lends 9000.0 TiB of memory and has " in much.stderr
    assert not iruka.shell("bond", "terms", "kakashi", "--memory", "1GiB").stderr
    assert "1.0 GiB" in iruka("bond", "terms", "kakashi")
    kakashi.wait(lambda found: found["bonds"][0]["theirs"]["memory"] == 1 << 30, "bond", "list")
    assert "the partners are kakashi" in iruka("bond", "end", "naruto", status=2)
    iruka("bond", "rekey")
    iruka.wait(lambda found: found["bonds"][0]["contact"] == "fresh", "bond", "list")
    iruka("bond", "end", "kakashi")
    for host in hosts:
        host.wait(lambda found: all(bond["ended"] for bond in found["bonds"]), "bond", "list")
        assert host("bond", "list").startswith(f"{host.name} has no bond")


@pytest.mark.parametrize(
    ("code", "error"), [("gt1.cut", "cut short"), ("gt9.later@host:1", "version 9"), ("hello", "no invitation code")]
)
def test_a_code_that_is_none_is_refused_with_the_reason(hosts: tuple[Host, Host], code: str, error: str) -> None:
    said = hosts[0]("bond", "accept", code, status=2)
    assert error in said
    assert "\n\nhint: " in said


def test_a_lost_host_goes_on_at_its_partner_and_comes_back(hosts: tuple[Host, Host]) -> None:
    """Held, lost, taken over by a person's word, the old host becomes the holder, and at last handed back."""
    iruka, kakashi = hosts
    tie(iruka, kakashi)
    running = iruka.shell.start("run", "--", *iruka.shell.write("walk.py", WALK))
    assert running.line() == "life 1 from step 0\n"
    assert running.line() == "held\n"
    iruka.wait_words("held by kakashi", "status", "walk")
    bond = iruka.asked("bond", "list")["bonds"][0]
    assert bond["price"]["memory"] == bond["held_there"][0]["commit"]["bytes"] > 0, "one copy is what would go"
    kakashi.wait_words("walk is iruka's: step ", "status")
    assert "which owns walk, lives" in kakashi("takeover", "walk", status=2)

    iruka.die()
    kakashi.wait(lambda found: found["helds"][0]["state"] == "doubting", "bond", "list")
    assert "walk, held here, may have to be taken over" in kakashi.shell("status").stdout
    refused = kakashi("takeover", "walk", status=2)
    assert "two lives go on until iruka hears of the new one" in refused
    assert kakashi("takeover", "walk", "--yes") == "life 2 of walk is being started here\n"
    kakashi.wait(lambda found: found["members"][0]["phase"] == "running", "status")
    assert "host lost" in kakashi("why", "walk")
    watching = kakashi.shell.start("attach", "walk")
    assert watching.line().startswith("life 2 from step ")
    kakashi.wait_words("walk is exposed: no partner holds its copy (iruka is silent)", "status")

    iruka("keeper", "start")
    iruka.wait(lambda found: found["members"][0]["phase"] == "away" and found["helds"], "status")
    assert iruka.shell("status").stdout.startswith("walk is away: life 2 of walk is kakashi's\n")
    kakashi.wait(lambda found: found["members"][0]["held"] is not None, "status")
    handed = kakashi("takeover", "walk", "--to", "iruka")
    assert handed == "life 3 of walk is iruka's\n"
    status, _, said = watching.end()
    assert (status, "handed over to iruka" in said) == (75, True)
    iruka.wait(lambda found: found["members"][0]["phase"] == "running", "status")
    assert "handed over" in kakashi("why", "walk")
    lives = iruka.asked("why", "walk")["lives"]
    assert [life["epoch"] for life in lives] == [1, 2, 3]
    assert lives[-1]["restored"]["step"] == lives[-2]["reached"], "no step was lost on the way"


@pytest.fixture
def object_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Named as the lease store of all keepers that begin within the test."""
    moto = Moto(tmp_path)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "iruka")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "umino")
    monkeypatch.setenv("GOLDTHREAD_LEASE_STORE", moto.address("leases"))
    yield
    moto.close()


def test_a_lost_host_is_taken_over_by_a_lease_in_an_object_store(object_store: None, hosts: tuple[Host, Host]) -> None:
    """By itself, from what was held; its output is there to be seen, and it is said what vouched for it."""
    iruka, kakashi = hosts
    tie(iruka, kakashi)
    running = iruka.shell.start("run", "--", *iruka.shell.write("walk.py", WALK))
    assert (running.line(), running.line()) == ("life 1 from step 0\n", "held\n")
    kakashi.wait(lambda found: [one["guard"] for one in found["helds"]] == ["lease"], "bond", "list")
    iruka.die()
    kakashi.wait(lambda found: any(one["phase"] == "running" for one in found["members"]), "status")
    for words in ("attach", "walk"), ("run", "--", *kakashi.shell.write("walk.py", WALK)):
        watching = kakashi.shell.start(*words)
        assert watching.line().startswith("life 2 from step ")
    told = kakashi("why", "walk")
    assert "host lost" in told and "its lease is kakashi's" in told


ALONE = """
import os, time, goldthread, legs
with goldthread.join("walk") as life:
    state = life.restore({"step": 0})
    if life.epoch > 1:
        print(legs.WAY, os.environ["PACE"], os.environ.get("MY_TOKEN"), flush=True)
    while state["step"] < 10_000:
        state["step"] += 1
        life.commit(state, wait="held" if state["step"] == 10 else "sealed")
        if state["step"] == 10:
            print("held", flush=True)
        time.sleep(0.02)
"""


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """What both users have set."""
    monkeypatch.setenv("PACE", "brisk")
    monkeypatch.setenv("MY_TOKEN", "of value")


def test_a_program_runs_on_the_other_host_from_what_travelled_before(variables: None, hosts: tuple[Host, Host]) -> None:
    """Its own modules and its variables, without credentials; nothing of the lost host is there any more."""
    iruka, kakashi = hosts
    tie(iruka, kakashi)
    (iruka.shell.folder / "legs.py").write_text("WAY = 'uphill'")
    running = iruka.shell.start("run", "--", *iruka.shell.write("walk.py", ALONE))
    assert running.line() == "held\n"
    while not list(kakashi.home.path.glob("bundles/*/walk/*.bundle")):
        pass
    iruka.die()
    for name in ("walk.py", "legs.py"):
        (iruka.shell.folder / name).unlink()
    kakashi.wait(lambda found: found["helds"][0]["state"] == "doubting", "bond", "list")
    kakashi("takeover", "walk", "--yes")
    while not (told := kakashi.shell("logs", "walk").stdout):
        pass
    assert told == "uphill brisk None\n"


def test_a_partner_that_lends_too_little_is_named(hosts: tuple[Host, Host]) -> None:
    """At once, by the status and in words; with better terms it holds the member."""
    iruka, kakashi = hosts
    kakashi("bond", "accept", iruka("bond", "invite").strip(), "--memory", "1KiB")
    iruka("run", "--detach", "--", *iruka.shell.write("walk.py", WALK))
    iruka.wait(lambda found: "kakashi does not hold it" in found["members"][0]["exposed"], "status")
    assert iruka.shell("status").returncode == 3
    assert "kakashi does not hold walk: its copies need" in iruka("why", "walk")
    kakashi("bond", "terms", "iruka", "--memory", "1GiB")
    iruka.wait_words("walk is safe: step ", "status")


def test_terms_that_are_too_small_already_are_said_when_the_bond_is_tied(hosts: tuple[Host, Host]) -> None:
    """To whoever accepts, on both sides of the code; and by an alarm of the keeper that lends too little."""
    iruka, kakashi = hosts
    iruka("run", "--detach", "--", *iruka.shell.write("walk.py", WALK))
    iruka.wait(lambda found: found["members"] and found["members"][0]["sealed"], "status")
    tied = kakashi("bond", "accept", iruka("bond", "invite").strip(), "--memory", "1KiB")
    lack = "the copies of what iruka runs need 0.0 MiB, and kakashi lends 0.0 MiB"
    assert tied == f"kakashi and iruka are bonded; {lack}\n"
    assert lack in kakashi.shell("status").stdout
    kakashi("bond", "end", "iruka", "--yes")
    iruka.wait(lambda found: all(bond["ended"] for bond in found["bonds"]), "bond", "list")
    tied = iruka("bond", "accept", kakashi("bond", "invite", "--memory", "1KiB").strip())
    assert tied == f"iruka and kakashi are bonded; {lack}\n"


def test_keepers_of_a_circle_find_each_other_on_the_local_network(hosts: tuple[Host, Host]) -> None:
    """Two hosts with the same secret and no address of each other. Nobody ties the bond, and it is said why."""
    iruka, kakashi = hosts
    line = iruka("bond", "circle")
    for host in hosts:
        host.home.make()
        settings = host.home.path / "goldthread.toml"
        settings.write_text(f"[keeper]\n{line}neighbours = true\n[policy]\nseek_every = '2s'\n")
        settings.chmod(0o600)
        host("keeper", "start")
    for one, other in (hosts, hosts[::-1]):
        one.wait(lambda found: any(bond["contact"] == "fresh" for bond in found["bonds"]), "bond", "list")
        assert one("bond", "list").startswith(f"{one.name} is bonded with {other.name}\n")
    assert "in its circle: " in iruka("status") + kakashi("status")


def test_what_is_held_for_a_host_that_is_gone_for_good_is_let_go_by_a_person(hosts: tuple[Host, Host]) -> None:
    """Not by the end of the bond, for the host may come back and have nothing else; and not without being asked."""
    iruka, kakashi = hosts
    tie(iruka, kakashi)
    running = iruka.shell.start("run", "--", *iruka.shell.write("walk.py", WALK))
    assert (running.line(), running.line()) == ("life 1 from step 0\n", "held\n")
    iruka.die()
    kakashi.wait(lambda found: not found["bonds"][0]["dialled"], "bond", "list")
    assert "its copies of walk stay here until then" in kakashi("bond", "end", "iruka")
    assert "copies of walk are held for it, and may be the last ones" in kakashi("bond", "forget", "iruka", status=2)
    assert kakashi.asked("bond", "list")["helds"]
    kakashi("bond", "forget", "iruka", "--yes")
    told = kakashi.asked("bond", "list")
    assert (told["bonds"], told["helds"]) == ([], [])

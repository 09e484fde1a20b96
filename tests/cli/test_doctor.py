"""What the doctor says of this host, and of one where something is missing."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from shell import Shell

from goldthread.cli.doctor import Finding, Verdict, findings
from goldthread.local import Home


def verdicts(home: Home) -> dict[str, Verdict]:
    return {finding.what: finding.verdict for finding in findings(home)}


def test_this_host_can_keep_programs(shell: Shell) -> None:
    """Each row says what was found; nothing is made by looking."""
    done = shell("doctor")
    assert done.returncode == 0, done.stdout
    for what in ("Python", "kernel", "memory files", "deaths", "huge pages", "control groups", "disk of the vault"):
        assert what in done.stdout
    for what in ("encryption", "address", "lease store"):
        assert what in done.stdout
    assert "goldthread works here" in done.stdout
    assert "\x1b" not in done.stdout
    assert not Path(os.environ["GOLDTHREAD_HOME"]).exists()


def test_the_same_facts_as_json(shell: Shell) -> None:
    """For programs that watch many hosts."""
    rows = json.loads(shell("doctor", "--json").stdout)
    assert {"what", "found", "verdict", "advice"} == set(rows[0])
    assert all(row["advice"] for row in rows if row["verdict"] != "ok")
    assert "missing" not in {row["verdict"] for row in rows}


def test_a_home_that_cannot_be_used_is_essential(shell: Shell, home: Home) -> None:
    """A file stands in its place: the status says so."""
    home.path.write_text("")
    done = shell("doctor")
    assert done.returncode == 1
    assert "cannot be written to" in shell("doctor", "--json").stdout
    assert "goldthread cannot work here: 1 of" in done.stdout


def test_a_configuration_that_is_not_understood_is_essential(shell: Shell, home: Home) -> None:
    """With the way out beside it."""
    home.make()
    (home.path / "goldthread.toml").write_text('[policy]\nhang_flor = "2s"\n')
    done = shell("doctor")
    assert done.returncode == 1
    assert "did you mean hang_floor?" in done.stdout


def test_a_home_that_others_can_read_could_be_better(home: Home) -> None:
    """It works, and the command to mend it is given."""
    home.make()
    assert verdicts(home)["home"] is Verdict.OK
    home.path.chmod(0o755)
    [finding] = [finding for finding in findings(home) if finding.what == "home"]
    assert finding.verdict is Verdict.WORSE
    assert finding.advice.startswith("chmod 700 ")


def test_what_was_changed_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody asks why their keeper behaves as it does."""
    monkeypatch.setenv("GOLDTHREAD_HANG_FLOOR", "2s")
    assert "changed: hang_floor" in [finding.found for finding in findings(home)]


def test_a_vault_in_memory_is_warned_of(tmp_path: Path) -> None:
    """It would be gone after a restart of the host."""
    fleeting = Path("/dev/shm") / f"goldthread-doctor-{os.getpid()}"
    if not os.access("/dev/shm", os.W_OK):
        pytest.skip("no file system in memory")
    [finding] = [finding for finding in findings(Home(fleeting)) if finding.what == "disk of the vault"]
    assert finding.verdict is Verdict.WORSE
    assert "tmpfs" in finding.found


def finding(home: Home, what: str) -> Finding:
    [found] = [finding for finding in findings(home) if finding.what == what]
    return found


def test_the_ports_that_a_firewall_must_let_through_are_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as it is known: what is configured, and what a keeper chose."""
    assert finding(home, "address").found.endswith("two ports that are chosen once and kept")
    monkeypatch.setenv("GOLDTHREAD_LISTEN", ":7447")
    assert finding(home, "address").found.endswith("port 7447, and one for copies")
    home.make()
    (home.path / "port").write_text("7447\n")
    (home.path / "carrier.port").write_text("40001\n")
    assert finding(home, "address").found.endswith("ports 7447 and 40001")


def test_a_lease_store_is_asked(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that answers, one that cannot, and none."""
    assert finding(home, "lease store").verdict is Verdict.OK
    monkeypatch.setenv("GOLDTHREAD_LEASE_STORE", f"sqlite://{tmp_path}/leases.sqlite")
    assert "answers within" in finding(home, "lease store").found
    monkeypatch.setenv("GOLDTHREAD_LEASE_STORE", f"sqlite://{tmp_path}/nowhere/leases.sqlite")
    assert finding(home, "lease store").verdict is Verdict.WORSE
    monkeypatch.setenv("GOLDTHREAD_LEASE_STORE", "paper://drawer")
    assert "sqlite:///path/file" in finding(home, "lease store").advice

"""Two hosts on bad days: limbo, full disks, terms that are too small, codes that are wrong."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from hosts import KEEPER, Host, Hosts
from stage import STEPS

from goldthread.names import MemberName
from goldthread.report import Phase


def test_limbo_is_taken_over_by_the_holder(pair: Hosts) -> None:
    """The host lives and cannot keep the program alive: it gives the member up, and the holder has it at once."""
    iruka, kakashi = pair["iruka"], pair["kakashi"]
    iruka.run(STEPS, "raise", options=("--restarts", "1"), step="20", lives="1,2")
    kakashi.until(lambda member: member.epoch == 3, "life 3")
    pair.ends_well(kakashi, STEPS)
    assert kakashi.causes() == ["handed over", "finished"]
    assert [life["ending"]["kind"] for life in iruka.why()["lives"]] == ["exception", "exception"]
    assert kakashi.why()["lives"][0]["ending"]["text"] == "iruka has given it up"
    assert "walk is in limbo here, so kakashi may take it over" in iruka.alarms()
    away = iruka.until(lambda member: member.phase is Phase.AWAY, "away")
    assert away.epoch == 3


def test_limbo_stays_at_home_where_the_terms_say_so(pair: Hosts) -> None:
    """The holder's terms leave it to a person, who says so."""
    iruka, kakashi = pair["iruka"], pair["kakashi"]
    kakashi.cli("bond", "terms", "iruka", "--takeover", "ask")
    pair.hold_at(10)
    iruka.run(STEPS)
    iruka.until_held(10)
    pair.kill_host("iruka")
    kakashi.until_alarm("the terms leave it to a person")
    assert kakashi.member() is None
    kakashi.cli("takeover", "walk", "--yes")
    kakashi.until_step(10, 2)
    pair.ends_well(kakashi, STEPS)
    kakashi.blames("iruka")


def test_disk_full_at_the_holders_home(tmp_path: Path) -> None:
    """Copies are held in memory, so they go on all the while; with room again a takeover has all that it needs."""
    with Hosts(tmp_path, "iruka") as hosts:
        kakashi = hosts.add("kakashi", disk="6m")
        hosts.tie("iruka", "kakashi")
        iruka = hosts["iruka"]
        hosts.hold_at(10)
        iruka.run(STEPS)
        iruka.until_guarded(10)
        filler = fill(kakashi)
        hosts.hold_at(20)
        iruka.until_held(20)
        kakashi.until_holder("iruka")
        filler.unlink()
        hosts.kill_host("iruka")
        kakashi.until_step(20, 2)
        hosts.ends_well(kakashi, STEPS)
        kakashi.blames("iruka")


def test_disk_full_at_the_takeover(tmp_path: Path) -> None:
    """What a takeover needs was laid out when it came: the life goes on, and is written down when there is room."""
    with Hosts(tmp_path, "iruka") as hosts:
        kakashi = hosts.add("kakashi", disk="6m")
        hosts.tie("iruka", "kakashi")
        iruka = hosts["iruka"]
        hosts.hold_at(10)
        iruka.run(STEPS)
        iruka.until_guarded(10)
        kakashi.until_holder("iruka")
        filler = fill(kakashi)
        keeper = kakashi.place.processes(KEEPER)
        hosts.kill_host("iruka")
        kakashi.until_step(10, 2)
        hosts.hold_at(20)
        kakashi.until_step(20, 2)
        assert kakashi.place.processes(KEEPER) == keeper
        filler.unlink()
        hosts.ends_well(kakashi, STEPS)
        kakashi.blames("iruka")


def test_terms_too_small_are_said_before_the_copy_is_needed(tmp_path: Path) -> None:
    """By the owner, whose state has no room; and it is held as soon as the terms are larger."""
    with Hosts(tmp_path, "iruka", "kakashi") as hosts:
        hosts.tie("iruka", "kakashi", theirs=("--memory", "100KiB"))
        iruka, kakashi = hosts["iruka"], hosts["kakashi"]
        hosts.hold_at(10)
        iruka.run(STEPS)
        iruka.until_alarm("of what the terms lend")
        kakashi.cli("bond", "terms", "iruka", "--memory", "100MiB")
        iruka.until_held(10)
        hosts.ends_well(iruka, STEPS)
        assert iruka.causes() == ["finished"]


def test_wrong_codes_are_refused_with_the_reason(tmp_path: Path) -> None:
    """Truncated, one's own, used: no bond comes of it, and the reason is said."""
    with Hosts(tmp_path, "iruka", "kakashi") as hosts:
        iruka, kakashi = hosts["iruka"], hosts["kakashi"]
        code = iruka.cli("bond", "invite").strip()
        said = [
            kakashi.cli("bond", "accept", code[:20], status=2),
            iruka.cli("bond", "accept", code, status=2),
        ]
        kakashi.cli("bond", "accept", code)
        said.append(hosts.add("tsunade").cli("bond", "accept", code, status=1))
        for words, sentence in zip(("is cut short", "bonded with itself", "it was used"), said, strict=True):
            assert words in sentence and "hint:" in sentence
        assert hosts["tsunade"].bond("iruka") is None


def test_name_of_a_held_member_is_taken(pair: Hosts) -> None:
    """The holder's user cannot start another member of that name beside it."""
    iruka, kakashi = pair["iruka"], pair["kakashi"]
    walk = MemberName("walk")
    pair.hold_at(20)
    iruka.run(STEPS)
    iruka.until_held(20)
    refused = kakashi.cli("run", "--name", walk, "--detach", "--", "true", status=2)
    assert "walk is held here for iruka" in refused
    pair.ends_well(iruka, STEPS)
    assert iruka.causes() == ["finished"]


def fill(host: Host) -> Path:
    """Leave no byte on the host's disk."""
    path = host.home.path / "filler"
    with path.open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(b"\0" * 4096)
    return path

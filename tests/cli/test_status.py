"""`goldthread status` and `why` answer in their first line; rendering is a pure function of the report."""

from __future__ import annotations

from typing import Any

import pytest

from goldthread.cli.status import _print_report, answer, details, is_safe, summary
from goldthread.cli.why import headline, note_lines, notes_of, tell_life
from goldthread.names import CommitId, Epoch, MemberName, Span, Step, milliseconds, seconds
from goldthread.report import (
    AlarmLevel,
    AlarmReport,
    CommitReport,
    Ending,
    EndingKind,
    KeeperReport,
    LifeReport,
    MemberReport,
    Phase,
    PhaseTime,
    Vitals,
)

SEALED = CommitReport(CommitId(Epoch(3), Step(412), 112), seconds(0.2), 1 << 20)
DEPOSITED = CommitReport(CommitId(Epoch(3), Step(300), 1), seconds(180), 1 << 20)


def member(**changes: Any) -> MemberReport:
    facts: dict[str, Any] = {
        "name": MemberName("walk"),
        "vitals": Vitals.WELL,
        "phase": Phase.RUNNING,
        "reason": "life 3 of walk goes on",
        "epoch": Epoch(3),
        "pid": 77,
        "supervised": True,
        "step": Step(412),
        "beat_age": seconds(0.2),
        "sealed": SEALED,
        "deposited": DEPOSITED,
        "unsealed": 0,
        "deaths": 2,
        "restarts_left": 3,
        "slot_bytes": 3 << 20,
        "alarms": (),
    }
    return MemberReport(**(facts | changes))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "walk is safe: step 412 sealed 0.2 s ago, step 300 deposited 3 min ago, life 3"),
        (
            {"sealed": None, "deposited": None, "epoch": Epoch(1), "step": None},
            "walk has nothing safe yet: no commit so far, life 1",
        ),
        (  # A stopped program cannot hand its slots to a keeper that came later.
            {"sealed": None, "deposited": None, "vouched": Span(0)},
            "walk may not go on: nothing vouches that no other life of it runs; no whole copy is known here",
        ),
        (
            {"unsealed": 2},
            "walk is not safe: 2 commits went by unsealed; step 412 sealed 0.2 s ago, step 300 deposited 3 min ago",
        ),
        (
            {"phase": Phase.ENDED, "sealed": None},
            "walk has ended and is safe: step 300 deposited 3 min ago, life 3",
        ),
        (
            {"vitals": Vitals.LIMBO, "phase": Phase.LIMBO, "reason": "6 deaths", "deposited": None},
            "walk is in limbo: 6 deaths; kept: step 412 sealed 0.2 s ago",
        ),
        (
            {"vitals": Vitals.STUCK, "reason": "no beat for 61 s", "sealed": None, "deposited": None, "step": None},
            "walk is stuck: no beat for 61 s; no commit so far",
        ),
        (
            {"vitals": Vitals.LIMBO, "phase": Phase.LIMBO, "reason": "no start", "sealed": None, "deposited": None},
            "walk is in limbo: no start; no whole copy is known here",
        ),
    ],
)
def test_the_first_line_says_whether_the_work_is_safe(changes: dict[str, Any], sentence: str) -> None:
    assert answer(member(**changes)) == sentence


def test_many_members_are_summed_up_and_the_first_ill_one_is_named() -> None:
    ill = member(name=MemberName("run"), vitals=Vitals.DOWN, phase=Phase.DOWN, reason="it died")
    assert summary([member(), member(name=MemberName("run"))]) == "2 members, all safe"
    assert summary([member(), ill]).startswith("1 of 2 members needs a look: run is down: it died")
    assert summary([]).startswith("no member yet")
    assert not is_safe(ill)


def test_details_name_a_process_only_where_one_runs() -> None:
    assert any("process 77" in line for line in details(member()))
    assert not any("process" in line for line in details(member(vitals=Vitals.LIMBO, phase=Phase.LIMBO)))


def life(**changes: Any) -> LifeReport:
    facts: dict[str, Any] = {
        "member": MemberName("walk"),
        "epoch": Epoch(2),
        "began": 1e9,
        "ended": 1e9 + 65,
        "pid": 77,
        "restored": CommitId(Epoch(1), Step(150), 150),
        "restored_from": "sealed",
        "restored_reason": "life 2 of walk goes on from step 150 of life 1 (sealed)",
        "reached": Step(300),
        "ending": Ending(EndingKind.EXCEPTION, "ValueError: x is negative", "File a.py\n  y", 1),
        "lost": "the work since step 300",
        "phases": (
            PhaseTime("seen", milliseconds(1)),
            PhaseTime("imports", milliseconds(380)),
            PhaseTime("first new step", milliseconds(19)),
        ),
    }
    return LifeReport(**(facts | changes))


def test_a_life_is_told_from_its_beginning_to_what_its_end_cost() -> None:
    told = tell_life(life())
    assert told[0].startswith("life 2  began 2001-09-")
    assert told[1:] == [
        "  from    life 2 of walk goes on from step 150 of life 1 (sealed)",
        "  took    seen             1.0 ms",
        "          imports          380 ms ████████████████████████████",
        "          first new step    19 ms █",
        "          all              400 ms",
        "  reached step 300",
        "  ended   exception after 65 s: ValueError: x is negative",
        "          File a.py",
        "            y",
        "  lost    the work since step 300",
    ]


def test_a_life_that_goes_on_is_told_so() -> None:
    assert tell_life(life(ending=None, ended=None, lost="", phases=(), reached=None))[2:] == [
        "  reached no commit so far",
        "  ended   not yet, as far as is known",
    ]


@pytest.mark.parametrize("kind", [EndingKind.HOST_LOST, EndingKind.FENCED, EndingKind.HOST_RESTARTED])
def test_what_a_life_reached_unseen_is_not_said_as_if_it_were_known(kind: EndingKind) -> None:
    """Whoever tells of it had noted this step, and it may have sealed more."""
    lost = life(ending=Ending(kind, "iruka is silent"))
    assert "  reached step 300, or a later one" in tell_life(lost)
    assert headline(MemberName("walk"), [lost]).endswith("the newest reached step 300, or a later one")
    assert "  reached no commit that is known" in tell_life(life(ending=Ending(kind, "iruka is silent"), reached=None))


def test_the_headline_counts_deaths_by_cause() -> None:
    killed = life(ending=Ending(EndingKind.SIGNAL, "signal 9 (SIGKILL)", "", -9))
    running = life(epoch=Epoch(4), ending=None, reached=Step(412))
    said = headline(MemberName("walk"), [killed, killed, life(), running])
    assert said == "walk: 4 lives (2 x signal, 1 x exception); the newest is at step 412"


def test_notes_stand_with_the_life_in_which_they_were_made() -> None:
    """A mended copy, a holder that was lost: what came before the first life stands with it."""
    lives = [life(epoch=Epoch(2), began=1000.0), life(epoch=Epoch(3), began=2000.0, ending=None)]
    early, mended, late = (
        AlarmReport(AlarmLevel.NOTICE, text, at)
        for text, at in (("kakashi is to hold walk", 900.0), ("3 of 8 chunks came from kakashi", 1500.0), ("x", 2500.0))
    )
    assert notes_of(lives[0], lives, [early, mended, late]) == [early, mended]
    assert notes_of(lives[1], lives, [early, mended, late]) == [late]
    away = life(epoch=Epoch(4), began=0.0, ending=None)
    assert notes_of(away, [*lives, away], [early, mended, late]) == []
    first, second = note_lines([early, mended])
    assert first.startswith("  noted   ") and first.endswith(" kakashi is to hold walk")
    assert second.startswith("          ") and second.endswith(" 3 of 8 chunks came from kakashi")


def test_notices_are_not_shown_for_many_members(capsys: pytest.CaptureFixture[str]) -> None:
    """A warning among them would not be seen."""
    told = tuple(AlarmReport(level, f"a {level.value}", 1.0) for level in (AlarmLevel.NOTICE, AlarmLevel.WARNING))
    one, other = (member(name=MemberName(name), alarms=told) for name in ("walk", "swim"))
    for members, count in (((one,), 2), ((one, other), 2)):
        _print_report(KeeperReport("home", 1, "0.1.0", Span(1), members, ()))
        assert capsys.readouterr().out.count(": a ") == count

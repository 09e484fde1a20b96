"""Two hosts, and what dies on them: a program, a keeper, a carrier, a host, both hosts."""

from __future__ import annotations

from hosts import CARRIER, KEEPER, SHIM, Hosts
from stage import STEPS

from goldthread.report import OwnerState, Phase


def test_program_killed_lives_again_at_home(pair: Hosts) -> None:
    """The partner has nothing to do: the next life is at home, from what was sealed there."""
    iruka = pair["iruka"]
    pair.hold_at(20)
    iruka.run(STEPS)
    iruka.until_held(20)
    iruka.kill_walk()
    iruka.until_held(20, 2)
    pair.ends_well(iruka, STEPS)
    told = iruka.why()["lives"]
    assert [life["ending"]["kind"] for life in told] == ["signal", "finished"]
    assert told[1]["restored_from"] == "sealed"
    assert {line.host for line in pair.ledger()} == {"iruka"}


def test_keeper_killed_comes_back_to_its_bond(patient: Hosts) -> None:
    """The life goes on, under the next keeper too; and the partner holds what it seals then."""
    iruka = patient["iruka"]
    patient.hold_at(20)
    iruka.run(STEPS)
    before = iruka.until_held(20)
    iruka.kill(KEEPER)
    patient.hold_at(40)
    after = iruka.until_held(40)
    assert (before.pid, before.epoch) == (after.pid, after.epoch)
    patient.ends_well(iruka, STEPS)
    assert [life["ending"]["kind"] for life in iruka.why()["lives"]] == ["finished"]


def test_keeper_of_the_holder_killed_costs_no_copy(pair: Hosts) -> None:
    """Its carrier keeps what is held, so the next keeper has it at once, and the owner's death costs nothing."""
    iruka, kakashi = pair["iruka"], pair["kakashi"]
    pair.hold_at(20)
    iruka.run(STEPS)
    iruka.until_held(20)
    kakashi.kill(KEEPER)
    kakashi.start_keeper()
    kakashi.until_holder("iruka")
    pair.kill_host("iruka")
    kakashi.until_step(20, 2)
    pair.ends_well(kakashi, STEPS)
    kakashi.blames("iruka")


def test_carriers_killed_cost_no_copy(pair: Hosts) -> None:
    """The keeper has the slots too, and starts another carrier: what is sealed next is held as before."""
    iruka, kakashi = pair["iruka"], pair["kakashi"]
    pair.hold_at(20)
    iruka.run(STEPS)
    iruka.until_held(20)
    kakashi.kill(CARRIER)
    iruka.kill(CARRIER)
    pair.hold_at(40)
    iruka.until_held(40)
    pair.kill_host("iruka")
    kakashi.until_step(40, 2)
    pair.ends_well(kakashi, STEPS)
    kakashi.blames("iruka")


def test_all_of_the_holder_killed_is_sent_again(pair: Hosts) -> None:
    """The copy is gone with keeper and carrier. The owner hears so, and sends the newest commit to the next ones."""
    iruka, kakashi = pair["iruka"], pair["kakashi"]
    pair.hold_at(20)
    iruka.run(STEPS)
    iruka.until_held(20)
    kakashi.kill(KEEPER, CARRIER)
    kakashi.start_keeper()
    iruka.until_alarm("lost its copy")
    iruka.until_held(20)
    kakashi.until_holder("iruka")
    pair.kill_host("iruka")
    kakashi.until_step(20, 2)
    pair.ends_well(kakashi, STEPS)
    kakashi.blames("iruka")


def test_keeper_and_program_killed_live_again_at_home(patient: Hosts) -> None:
    """The shim starts a keeper sooner than anybody could take the member over."""
    iruka = patient["iruka"]
    patient.hold_at(20)
    iruka.run(STEPS)
    iruka.until_held(20)
    pid = iruka.walk_pid()
    iruka.kill(KEEPER)
    iruka.kill_process(pid)
    iruka.until_held(20, 2)
    patient.ends_well(iruka, STEPS)
    assert iruka.causes() == ["signal", "finished"]
    assert {line.host for line in patient.ledger()} == {"iruka"}


def test_host_lost_is_taken_over_and_holds_when_it_returns(pair: Hosts) -> None:
    """The lease vouches for the takeover. The lost host hears of it, sets its copy aside and becomes the holder; and a
    user gets the member back without the loss of a step."""
    iruka, kakashi = pair["iruka"], pair["kakashi"]
    pair.hold_at(20)
    iruka.run(STEPS)
    iruka.until_held(20)
    pair.kill_host("iruka")
    kakashi.until_step(20, 2)
    told = kakashi.why()["lives"]
    assert told[0]["ending"]["text"].startswith("iruka is silent: ") and told[1]["restored"]["step"] == 20
    pair.hold_at(30)
    kakashi.until_step(30, 2)
    pair.start_host("iruka")
    kakashi.until_held(30, 2)
    iruka.until_holder("kakashi")
    away = iruka.until(lambda member: member.phase is Phase.AWAY, "away")
    assert away.owner_state is OwnerState.FENCED
    kakashi.cli("takeover", "walk", "--to", "iruka")
    iruka.until_held(30, 3)
    kakashi.until_holder("iruka")
    pair.ends_well(iruka, STEPS)
    assert iruka.causes() == ["host restarted", "handed over", "finished"]
    assert kakashi.causes() == ["host lost", "handed over"]
    began = {line.epoch: (line.host, line.step) for line in pair.ledger() if line.what == "begins"}
    assert began == {1: ("iruka", 0), 2: ("kakashi", 20), 3: ("iruka", 30)}


def test_processes_of_a_host_killed_and_its_link_stands(pair: Hosts) -> None:
    """Keeper, carrier, shim and program at once, as the kernel kills a whole session: closed connections are no proof
    of a death, and the lease is."""
    iruka, kakashi = pair["iruka"], pair["kakashi"]
    pair.hold_at(20)
    iruka.run(STEPS)
    iruka.until_held(20)
    iruka.kill(KEEPER, CARRIER, SHIM, b"walk.py")
    kakashi.until_step(20, 2)
    pair.ends_well(kakashi, STEPS)
    kakashi.blames("iruka")


def test_step_that_was_waited_for_outlives_the_host(pair: Hosts) -> None:
    """`commit(wait="held")` returned for it, so no death of one host can take it."""
    iruka, kakashi = pair["iruka"], pair["kakashi"]
    pair.hold_at(1000)
    iruka.run(STEPS, wait="held")
    iruka.until_step(10)
    pair.kill_host("iruka")
    last = pair.ledger()[-1]
    kakashi.until_step(last.step, 2)
    pair.ends_well(kakashi, STEPS)
    kakashi.blames("iruka")
    passed = [line for line in pair.ledger() if line.epoch == 1 and line.what == "passes"]
    assert all(line.held >= line.step for line in passed), "commit returned before the step was known to be held"
    assert next(line.step for line in pair.ledger() if line.epoch == 2) >= last.step


def test_both_hosts_lost_and_the_vault_remains(pair: Hosts) -> None:
    """All memory is gone: the member goes on from its newest deposit, at home, and the loss is said."""
    iruka, kakashi = pair["iruka"], pair["kakashi"]
    pair.hold_at(20)
    iruka.run(STEPS, wait="deposited")
    iruka.until_held(20)
    pair.kill_host("iruka", "kakashi")
    pair.start_host("kakashi", "iruka")
    iruka.until_held(20, 2)
    kakashi.until_holder("iruka")
    pair.ends_well(iruka, STEPS)
    told = iruka.why()["lives"]
    assert told[0]["ending"]["kind"] == "host restarted" and told[1]["restored_from"] == "deposited"

"""What is in one memory only goes to the vault at once, and not when its time comes."""

from __future__ import annotations

from pair import Pair

from goldthread.names import CommitId, Epoch, Instant, Step, seconds
from goldthread.policy import Policy
from goldthread.report import Phase
from goldthread.rules.retention import DepositSchedule


def test_a_copy_whose_other_is_lost_goes_to_the_vault() -> None:
    """Once: a member that goes on committing is not deposited without end meanwhile."""
    pair = Pair()
    pair.start(3)
    assert pair.iruka.deposits == []
    pair.kakashi.die()
    for step in range(4, 9):
        pair.run(1)
        assert pair.iruka.seal(step)
    assert len(pair.iruka.deposits) == 1
    assert pair.iruka.deposits[0].step >= 3


def test_a_partner_that_comes_and_goes_does_not_keep_the_disk_busy() -> None:
    """One deposit in `deposit_retry` at most, however often its copy cannot be counted on."""
    policy, schedule, begun = Policy(), DepositSchedule(), []
    for second in range(100):
        now, commit = Instant(seconds(second)), CommitId(Epoch(1), Step(second), second + 1)
        schedule.hurry(policy, now)
        if schedule.begin(commit, None, policy, now):
            begun.append(second)
            schedule.succeed(commit)
    assert begun == [0, 30, 60, 90]


def test_what_was_taken_over_goes_to_the_vault() -> None:
    """The life that goes on from it may die with this host, before another one holds a copy."""
    pair = Pair()
    pair.start(3)
    pair.iruka.die()
    pair.run(5)
    assert pair.kakashi.view.phase is Phase.RUNNING
    assert [commit.step for commit in pair.kakashi.deposits] == [3]

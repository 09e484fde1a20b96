"""Who holds whose copies: for one member, and around a circle of many keepers."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from goldthread.names import KeeperId
from goldthread.rules.placement import Candidate, Host, arrange_circle, rank_holders

Hosts = dict[KeeperId, str]
"""Labels by keeper."""


def keeper(number: int) -> KeeperId:
    return KeeperId(f"{number:032x}")


def circle_of(hosts: Hosts, before: dict[KeeperId, KeeperId] | None = None) -> dict[KeeperId, KeeperId]:
    return arrange_circle([Host(name, label) for name, label in hosts.items()], before or {})


hosts_strategy = st.dictionaries(
    st.integers(0, 99).map(keeper), st.sampled_from(["", "rack 1", "rack 2", "rack 3"]), max_size=20
)


def sharing_at_least(hosts: Hosts) -> int:
    """How many hosts must have a partner in their own domain, if each holds for one other."""
    if len(hosts) < 2:
        return 0
    most = max(Counter(label for label in hosts.values() if label).values(), default=0)
    return max(2 * most - len(hosts), 0)


def sharing(hosts: Hosts, circle: dict[KeeperId, KeeperId]) -> int:
    return sum(hosts[host] != "" and hosts[host] == hosts[holder] for host, holder in circle.items())


@given(hosts_strategy)
def test_each_host_holds_for_one_other(hosts: Hosts) -> None:
    """The load is even: every host is held, every host holds, nobody holds for itself."""
    circle = circle_of(hosts)
    expected = set(hosts) if len(hosts) > 1 else set()
    assert set(circle) == expected
    assert set(circle.values()) == expected
    assert all(host != holder for host, holder in circle.items())


@given(hosts_strategy)
def test_bonds_are_pairs_but_for_one_circle_of_three(hosts: Hosts) -> None:
    """No more than three hosts hold otherwise than for each other, and only where their number is odd."""
    circle = circle_of(hosts)
    one_way = [host for host, holder in circle.items() if circle[holder] != host]
    assert len(one_way) == (3 if len(hosts) % 2 and len(hosts) > 1 else 0)


@given(hosts_strategy, hosts_strategy)
def test_partners_share_no_failure_domain_where_that_can_be(hosts: Hosts, others: Hosts) -> None:
    """Only the surplus of a label that has more than half of the hosts has partners of its own label, also where the
    circle stood before and labels were changed meanwhile."""
    assert sharing(hosts, circle_of(hosts)) == sharing_at_least(hosts)
    assert sharing(hosts, circle_of(hosts, circle_of(others))) == sharing_at_least(hosts)


@given(hosts_strategy)
def test_a_circle_that_can_stay_stays(hosts: Hosts) -> None:
    """Arranging the same hosts again changes nothing."""
    circle = circle_of(hosts)
    assert circle == circle_of(hosts, circle)


@given(hosts_strategy, st.integers(0, 99).map(keeper), st.sampled_from(["", "rack 1", "rack 2", "rack 3"]))
def test_few_holders_change_when_a_host_comes_or_goes(hosts: Hosts, guest: KeeperId, label: str) -> None:
    """Beside the guest at most five hosts get another holder, however many there are."""
    without = {name: text for name, text in hosts.items() if name != guest}
    with_guest = without | {guest: label}
    for here, then in ((without, with_guest), (with_guest, without)):
        before = circle_of(here)
        after = circle_of(then, before)
        changed = [host for host in after if host in before and before[host] != after[host]]
        assert len(set(changed) - {guest}) <= 5


def test_a_circle_over_three_racks() -> None:
    """A host that comes makes a circle of three with one pair; the next one makes two pairs of it."""
    a, b, c, d, e, f = map(keeper, range(6))
    racks = {a: "rack 1", b: "rack 1", c: "rack 2", d: "rack 2"}
    four = circle_of(racks)
    assert four == {a: c, c: a, b: d, d: b}
    five = circle_of(racks | {e: "rack 3"}, four)
    assert five == {a: c, c: e, e: a, b: d, d: b}
    six = circle_of(racks | {e: "rack 3", f: "rack 3"}, five)
    assert six == {a: e, e: a, c: f, f: c, b: d, d: b}


def candidate(number: int, label: str = "", room: int = 100, load: int = 0) -> Candidate:
    return Candidate(keeper(number), label, room, load)


def test_another_failure_domain_comes_first() -> None:
    """Even where the load is heavier there; the same domain is the last resort."""
    ranked = rank_holders([candidate(1, "rack 1"), candidate(2, "rack 2", load=7)], "rack 1", 50)
    assert [one.keeper for one in ranked] == [keeper(2), keeper(1)]
    assert ranked[0].reason == "it is in another failure domain (rack 2) and holds 7 others"
    assert ranked[1].reason == "it shares this host's failure domain (rack 1) and holds 0 others"


def test_who_has_too_little_room_is_no_holder() -> None:
    """The same domain is better than none."""
    ranked = rank_holders([candidate(1, "rack 1"), candidate(2, "rack 2", room=49)], "rack 1", 50)
    assert [one.keeper for one in ranked] == [keeper(1)]
    assert rank_holders([candidate(2, room=49)], "rack 1", 50) == ()


def test_a_copy_is_not_moved_for_the_load_alone() -> None:
    """The present holder stays, unless it shares the domain and another does not."""
    ranked = rank_holders([candidate(1), candidate(2, load=9)], "", 50, present=keeper(2))
    assert ranked[0].keeper == keeper(2)
    assert ranked[0].reason == "it is in another failure domain (its own) and holds it already"
    ranked = rank_holders([candidate(1), candidate(2, "rack 1")], "rack 1", 50, present=keeper(2))
    assert ranked[0].keeper == keeper(1)


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=8, unique_by=lambda pair: pair[0]))
def test_the_load_is_even_and_the_order_stable(loads: list[tuple[int, int]]) -> None:
    """The lighter load first; the order in which candidates are named does not count."""
    candidates = [candidate(number, load=load) for number, load in loads]
    ranked = rank_holders(candidates, "", 1)
    assert ranked == rank_holders(candidates[::-1], "", 1)
    by_keeper = {one.keeper: one.load for one in candidates}
    assert [by_keeper[one.keeper] for one in ranked] == sorted(by_keeper.values())

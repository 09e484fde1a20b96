"""Who is asked for help in an emergency, and who never is."""

from __future__ import annotations

import pytest

from goldthread.names import KeeperId
from goldthread.rules.bedside import Offer, choose_helper
from goldthread.terms import Consent, Terms

MEBIBYTE = 1 << 20
WILLING = Terms(emergency=True)


def offer(number: int, *, label: str = "", room: int = 100, terms: Terms = WILLING) -> Offer:
    names = ("naruto", "hinata", "neji")
    return Offer(KeeperId(f"{number:032x}"), names[number], label, terms, room * MEBIBYTE)


def test_another_failure_domain_comes_first_then_room() -> None:
    """The best is the one least likely to fall with this host."""
    offers = [offer(0, label="rack 1", room=900), offer(1, label="rack 2", room=60), offer(2, room=70)]
    chosen = choose_helper(offers, WILLING, "rack 1", 50 * MEBIBYTE)
    assert chosen.keeper == offers[2].keeper
    assert chosen.reason == "neji is willing, is in another failure domain and has 70.0 MiB free"
    chosen = choose_helper(offers[:1], WILLING, "rack 1", 50 * MEBIBYTE)
    assert chosen.keeper == offers[0].keeper
    assert "shares this host's failure domain" in chosen.reason


@pytest.mark.parametrize(
    ("terms", "room", "reason"),
    [
        (Terms(emergency=False), 100, "answers no emergencies"),
        (Terms(emergency=True, takeover=Consent.NO), 100, "takes nobody over"),
        (Terms(emergency=True, takeover=Consent.ASK), 100, "takes over only when a person says so"),
        (WILLING, 49, "has 49.0 MiB free, and 50.0 MiB are needed"),
        (Terms(emergency=True, memory=30 * MEBIBYTE), 100, "has 30.0 MiB free, and 50.0 MiB are needed"),
    ],
)
def test_who_is_not_allowed_is_not_asked(terms: Terms, room: int, reason: str) -> None:
    """Whatever its terms forbid does not happen; why is said, also where another one helps."""
    unable = offer(0, room=room, terms=terms)
    chosen = choose_helper([unable], WILLING, "", 50 * MEBIBYTE)
    assert chosen.keeper is None
    assert chosen.reason == f"no keeper that is known can help: naruto {reason}"
    chosen = choose_helper([unable, offer(1)], WILLING, "", 50 * MEBIBYTE)
    assert chosen.keeper == offer(1).keeper
    assert chosen.reason.endswith(f"; naruto {reason}")


def test_this_side_may_forbid_it_too() -> None:
    """A keeper that answers no emergencies asks for none to be answered."""
    chosen = choose_helper([offer(0)], Terms(), "", 1)
    assert chosen.keeper is None
    assert chosen.reason == "the terms of this keeper forbid emergency bonds (emergency no)"


def test_nobody_is_known() -> None:
    """Then that is the reason."""
    assert choose_helper([], WILLING, "", 1).reason == "no other keeper is known"

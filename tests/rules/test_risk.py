"""The planner's formulas give the figures that are known to be right. Times in the unit that each test names."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from pytest import approx

from goldthread.rules.risk import (
    Buddies,
    Platform,
    buddy_success,
    buddy_waste,
    daly_interval,
    daly_wall_time,
    group_survival,
    mean_time_to_loss,
    mixed_placement,
    ring_placement,
    survival,
    training_interval,
    training_ratio,
    wasted_per_failure,
    young_interval,
)

HOUR = 60.0
DAY = 24 * HOUR


@pytest.mark.parametrize(
    ("between_failures", "in_caption", "interval", "wall_hours"),
    [(24 * HOUR, 117, 116.69, 547.9), (6 * HOUR, 57, 56.71, 610.2), (15, 9.1, 9.14, 2504)],
)
def test_daly(between_failures: float, in_caption: float, interval: float, wall_hours: float) -> None:
    """Minutes. The captions of Daly's figures 3 to 5: a save of 5, a restart of 10, 500 hours of work."""
    found = daly_interval(5, between_failures)
    assert found == approx(in_caption, abs=0.5)
    assert found == approx(interval, abs=0.005)
    wall = daly_wall_time(500 * HOUR, found, 5, between_failures, 10)
    assert wall / HOUR == approx(wall_hours, abs=0.5 if wall_hours > 1000 else 0.05)


@pytest.mark.parametrize("between_failures", [24 * HOUR, 6 * HOUR, 15])
def test_no_other_interval_beats_daly(between_failures: float) -> None:
    """His interval is within a thousandth of the best that his own wall time has."""

    def wall(interval: float) -> float:
        return daly_wall_time(500 * HOUR, interval, 5, between_failures, 10)

    best = min(wall(minute / 10) for minute in range(10, 3000))
    assert wall(daly_interval(5, between_failures)) <= 1.001 * best


def test_young_is_daly_where_a_save_takes_no_time() -> None:
    """They differ by the save itself when failures are rare."""
    assert young_interval(1, 1e9) == approx(daly_interval(1, 1e9), rel=1e-4)
    assert young_interval(5, 24 * HOUR) == 120
    assert daly_interval(40, 15) == 15


def test_a_failure_at_a_slow_remote_store() -> None:
    """Minutes. GEMINI's example: MT-NLG at 20 Gbit/s saves in 42, saves without a pause, and fetches in 42."""
    assert wasted_per_failure(save=42, interval=42, fetch=42) == 105
    assert wasted_per_failure(save=42, interval=0, fetch=42) == 105
    assert wasted_per_failure(save=1, interval=2, fetch=3, iteration=10) == 9


BASE = Platform(324 * 32, between_failures=7 * 3600, downtime=0, save=2, transfer=4, slowness=10)
EXA = Platform(1_000_000, between_failures=7 * 3600, downtime=60, save=30, transfer=60, slowness=10)


@pytest.mark.parametrize(
    ("platform", "buddies", "waste", "period"),
    [
        (BASE, Buddies.NON_BLOCKING, 0.01549, 347.5),
        (BASE, Buddies.BLOCKING, 0.01563, None),
        (BASE, Buddies.TRIPLE, 0.00969, None),
        (EXA, Buddies.NON_BLOCKING, 0.08054, 1327.6),
        (EXA, Buddies.BLOCKING, 0.08262, None),
        (EXA, Buddies.TRIPLE, 0.06186, None),
    ],
)
def test_the_waste_of_copies_in_memory(
    platform: Platform, buddies: Buddies, waste: float, period: float | None
) -> None:
    """Seconds. A failure every 7 hours, transfers that cost a tenth of their time."""
    found = buddy_waste(platform, buddies, cost=0.1 * platform.transfer)
    assert found.waste == approx(waste, abs=5e-6)
    if period is not None:
        assert found.period == approx(period, abs=0.05)


@pytest.mark.parametrize(
    ("between_failures", "days", "success"),
    [(60, 30, (0.5703, 0.8784, 0.99995)), (600, 365, (0.9340, 0.9844, 0.9999994))],
)
def test_the_chance_that_nothing_is_lost(between_failures: float, days: int, success: tuple[float, ...]) -> None:
    """Seconds. The largest overlap: transfers cost nothing, and take longest."""
    platform = Platform(1_000_000, between_failures, downtime=60, save=30, transfer=60, slowness=10)
    life = days * 24 * 3600
    found = [buddy_success(platform, buddies, 0, life) for buddies in Buddies]
    for chance, known, digits in zip(found, success, (4, 4, 5 if days == 30 else 7), strict=True):
        assert chance == approx(known, abs=0.5 * 10**-digits)


def test_bonding_again_is_worth_a_lot() -> None:
    """Years. Ellison's worked table: both of a pair fail after 107 or 703 years, and after 3 where none is replaced."""
    assert mean_time_to_loss(0.5) == 3
    assert mean_time_to_loss(0.5, 52) == 107
    assert mean_time_to_loss(0.5, 350) == 703
    assert mean_time_to_loss(0.5, 52) / mean_time_to_loss(0.5) == approx(35.7, abs=0.05)
    assert mean_time_to_loss(0.5, 350) / mean_time_to_loss(0.5) == approx(1 + 350 / 1.5)


@pytest.mark.parametrize(("gpus", "hours"), [(16_384, 1.80), (131_072, 0.225)])
def test_the_time_between_failures_of_a_large_training(gpus: int, hours: float) -> None:
    """Days. At 8 GPUs a host and 6.50e-3 failures per host and day; an interval that is a whole mean time between
    failures, lost by half, and free restarts, leave half of the time."""
    between_failures = hours / 24
    ratio = training_ratio(stall=0, restart=0, interval=between_failures, hosts=gpus // 8, failure_rate=6.50e-3)
    assert ratio == approx(0.5, abs=0.002)


@pytest.mark.parametrize(("stall", "restart", "ratio"), [(10, 600, 0.906), (300, 600, 0.744), (10, 60, 0.953)])
def test_the_share_of_effective_training(stall: float, restart: float, ratio: float) -> None:
    """Seconds. The failures of Llama 3's run: 419 in 54 days on 16,384 GPUs."""
    hosts = 16_384 // 8
    rate = 419 / 54 / hosts / (24 * 3600)
    interval = training_interval(stall, hosts, rate)
    assert training_ratio(stall, restart, interval, hosts, rate) == approx(ratio, abs=0.0005)


@pytest.mark.parametrize(
    ("hosts", "copies", "lost", "mixed", "ring"),
    [
        (16, 2, 2, Fraction(112, 120), Fraction(104, 120)),
        (16, 2, 3, Fraction(448, 560), Fraction(352, 560)),
        (16, 2, 4, Fraction(1120, 1820), Fraction(660, 1820)),
        (16, 4, 4, Fraction(1816, 1820), Fraction(1804, 1820)),
        (8, 2, 2, Fraction(24, 28), Fraction(20, 28)),
        (5, 2, 2, Fraction(6, 10), Fraction(5, 10)),
        (17, 2, 2, Fraction(126, 136), Fraction(119, 136)),
        (128, 2, 2, Fraction(8064, 8128), Fraction(8000, 8128)),
    ],
)
def test_pairs_survive_more_than_rings(hosts: int, copies: int, lost: int, mixed: Fraction, ring: Fraction) -> None:
    """Every way in which hosts can fall is counted. Where groups go up evenly, mixed placement is groups only."""
    assert survival(mixed_placement(hosts, copies), lost) == mixed
    assert survival(ring_placement(hosts, copies), lost) == ring


@pytest.mark.parametrize(
    ("hosts", "copies", "lost", "bound"), [(16, 2, 2, 112 / 120), (16, 2, 3, 0.8), (16, 2, 4, 0.6)]
)
def test_the_bound_for_groups(hosts: int, copies: int, lost: int, bound: float) -> None:
    """GEMINI's formula: exact while no two groups can be lost, and from below then."""
    found = group_survival(hosts, copies, lost)
    counted = survival(mixed_placement(hosts, copies), lost)
    assert float(found) == approx(bound)
    assert found == counted if lost < 2 * copies else found < counted
    assert group_survival(hosts, copies, copies - 1) == 1


def test_the_chance_for_pairs_has_a_closed_form() -> None:
    """`C(N/2, k) 2^k / C(N, k)`, for every number of lost hosts up to half and beyond."""
    for lost in range(1, 10):
        assert survival(mixed_placement(12, 2), lost) == Fraction(comb(6, lost) * 2**lost, comb(12, lost))

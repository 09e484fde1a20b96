"""What failures cost, and what copies elsewhere are worth: the formulas of the field, for whoever plans.

Each function names its source. Times are numbers in one unit throughout a call, whichever it is (seconds, hours), and
rates are per that unit. Symbols as in the sources: `d` the time of a save, `M` the mean time between failures of the
whole platform, `R` the time of a restart or a transfer, `D` the downtime before it, `P` the period of saves.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from fractions import Fraction
from itertools import combinations
from math import comb, exp, expm1, pow, sqrt

import msgspec

__all__ = [
    "Buddies",
    "BuddyWaste",
    "Platform",
    "buddy_success",
    "buddy_waste",
    "daly_interval",
    "daly_wall_time",
    "group_survival",
    "mean_time_to_loss",
    "mixed_placement",
    "ring_placement",
    "survival",
    "training_interval",
    "training_ratio",
    "wasted_per_failure",
    "young_interval",
]

# The best interval between saves


def young_interval(d: float, M: float) -> float:  # noqa: N803
    """The work between two saves that wastes least, to first order: `sqrt(2 d M)` (Young 1974)."""
    return sqrt(2 * d * M)


def daly_interval(d: float, M: float) -> float:  # noqa: N803
    """The same to higher order, good also where a save takes long beside `M` (Daly 2006,
    doi 10.1016/j.future.2004.11.016)."""
    if d >= 2 * M:
        return M
    ratio = d / (2 * M)
    return sqrt(2 * d * M) * (1 + sqrt(ratio) / 3 + ratio / 9) - d


def daly_wall_time(work: float, interval: float, d: float, M: float, R: float) -> float:  # noqa: N803
    """The time until `work` is done, failures, saves and restarts included (Daly 2006)."""
    return M * exp(R / M) * expm1((interval + d) / M) * work / interval


def wasted_per_failure(save: float, interval: float, fetch: float, iteration: float = 0.0) -> float:
    """The mean time that one failure costs: the save that was under way, half an interval, and the way back
    (GEMINI, SOSP 2023). Saves can be no more frequent than they take, nor than iterations."""
    return save + max(interval, save, iteration) / 2 + fetch


# The same for copies in the memory of partners


class Buddies(Enum):
    """How copies are kept in pairs or in threes (Dongarra, Herault, Robert: INRIA RR-8196, IJNC 4(1) 2014)."""

    NON_BLOCKING = "double, non-blocking"
    """After a failure the survivor's copy goes to the new host beside the work."""
    BLOCKING = "double, blocking on failure"
    """After a failure the work waits until it is there."""
    TRIPLE = "triple"
    """Each host has two partners, and no local save."""


class Platform(msgspec.Struct, frozen=True):
    """What the model of Dongarra, Herault and Robert is given."""

    hosts: int
    between_failures: float
    """`M`, of the whole platform."""
    downtime: float
    save: float
    """`d`, a local one."""
    transfer: float
    """`R`, of one host's state, with the work waiting."""
    slowness: float
    """`al`: a transfer takes so many times its least time longer where it is to cost the work nothing."""

    def overlapped(self, cost: float) -> float:
        """`th`: how long a transfer takes that costs the work `cost` of its time (`phi`, 0 to `transfer`)."""
        return self.transfer + self.slowness * (self.transfer - cost)


class BuddyWaste(msgspec.Struct, frozen=True):
    period: float
    """`P`, the best one."""
    waste: float
    """The share of all time that is not work."""


def buddy_waste(platform: Platform, buddies: Buddies, cost: float) -> BuddyWaste:
    """What saving and failing take, at the best period, where each transfer costs the work `cost`."""
    failures = platform.between_failures
    overlapped = platform.overlapped(cost)
    if buddies is Buddies.TRIPLE:
        saving, least = 2 * cost, 2 * overlapped
    else:
        saving, least = platform.save + cost, platform.save + overlapped
    lost = platform.downtime + platform.transfer + overlapped
    if buddies is Buddies.BLOCKING:
        lost += platform.transfer - cost
    period = max(sqrt(2 * saving * max(failures - lost, 0)), least)
    working = (1 - saving / period) * (1 - (lost + period / 2) / failures)
    return BuddyWaste(period, 1 - working)


def buddy_success(platform: Platform, buddies: Buddies, cost: float, life: float) -> float:
    """The chance that no state is lost in the time `life`: no group loses all its hosts within one exposed window."""
    rate = 1 / (platform.hosts * platform.between_failures)
    overlapped = platform.overlapped(cost)
    window = platform.downtime + platform.transfer
    if buddies is Buddies.TRIPLE:
        lost = 6 * rate**3 * life * (window + 2 * overlapped) ** 2
        return pow(max(1 - lost, 0.0), platform.hosts / 3)
    window += platform.transfer if buddies is Buddies.BLOCKING else overlapped
    return pow(max(1 - 2 * rate**2 * life * window, 0.0), platform.hosts / 2)


# What bonding again is worth


def mean_time_to_loss(failure_rate: float, repair_rate: float = 0.0) -> float:
    """The mean time until both of a pair have failed, where a lost one is replaced at `repair_rate`; 0: never.

    `(3 lam + mu) / (2 lam^2)`; so replacing is worth a factor of `1 + mu / (3 lam)`. The birth and death process of a
    mirrored pair; worked figures in Ellison 1993.
    """
    return (3 * failure_rate + repair_rate) / (2 * failure_rate**2)


# Long training on many hosts


def training_interval(stall: float, hosts: int, failure_rate: float) -> float:
    """The best interval between saves of a synchronous training, where each save stalls it for `stall` and each host
    fails at `failure_rate` (Meta, arXiv 2410.21680)."""
    return sqrt(2 * stall / (hosts * failure_rate))


def training_ratio(stall: float, restart: float, interval: float, hosts: int, failure_rate: float) -> float:
    """The share of all time that such a training makes progress in: the effective training time ratio (ETTR) of the
    same source. A failure costs `restart` and half an interval."""
    return (1 - hosts * failure_rate * (restart + interval / 2)) / (1 + stall / interval)


# Where copies lie


def mixed_placement(hosts: int, copies: int) -> tuple[frozenset[int], ...]:
    """For each host where its state is: in groups of `copies` hosts that hold for each other, and the last of them,
    with the remainder, as a ring (GEMINI). Where `copies` divides `hosts` it is the group placement."""
    grouped = hosts - hosts % copies
    if grouped < hosts:
        grouped = max(grouped - copies, 0)
    groups = [frozenset(range(host - host % copies, host - host % copies + copies)) for host in range(grouped)]
    ring = [frozenset(grouped + host for host in place) for place in ring_placement(hosts - grouped, copies)]
    return (*groups, *ring)


def ring_placement(hosts: int, copies: int) -> tuple[frozenset[int], ...]:
    """For each host where its state is: there, and on the next ones around."""
    return tuple(frozenset((host + way) % hosts for way in range(copies)) for host in range(hosts))


def survival(placement: Sequence[frozenset[int]], lost: int) -> Fraction:
    """The chance that every state survives when `lost` hosts fall together: by counting every case.

    Hosts count from 0; `placement` says for each where its state is."""
    places = set(placement)
    survived = sum(
        not any(place.issubset(fallen) for place in places)
        for fallen in map(frozenset, combinations(range(len(placement)), lost))
    )
    return Fraction(survived, comb(len(placement), lost))


def group_survival(hosts: int, copies: int, lost: int) -> Fraction:
    """The same for the group placement without counting, from below; exact while no two groups can be lost (GEMINI)."""
    if lost < copies:
        return Fraction(1)
    hit = Fraction(hosts * comb(hosts - copies, lost - copies), copies * comb(hosts, lost))
    return max(1 - hit, Fraction(0))

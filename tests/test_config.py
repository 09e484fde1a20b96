"""From what a user writes to a policy; what is not understood is refused with its place."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

import pytest

from goldthread.config import Settings, load, load_settings, parse_budget, parse_bytes, parse_span
from goldthread.errors import UsageError
from goldthread.names import milliseconds, seconds
from goldthread.policy import PRESETS, Budget, Policy
from goldthread.wire.circle import CIRCLE_BYTES, write_circle


@pytest.fixture
def home(tmp_path: Path) -> Path:
    place = tmp_path / "a home"
    place.mkdir()
    return place


def write(home: Path, text: str) -> None:
    (home / "goldthread.toml").write_text(text)


def test_nothing_needs_to_be_said(home: Path) -> None:
    """No file, no variable, no flag: the policy as it comes."""
    assert load(home, environment={}) == Policy()
    assert load(home / "absent", environment={"PATH": "/bin"}) == Policy()


def test_a_file_changes_what_it_names(home: Path) -> None:
    """Spans and sizes with their units, counts as numbers."""
    write(
        home,
        """
        [policy]
        hang_floor = "2min"
        tick = "50ms"
        hang_factor = 20
        slow_factor = 2.5
        vault_keep = 5
        vault_free_bytes = "1GiB"
        memory_free_bytes = 4096
        budget = "3/1h"
        """,
    )
    assert load(home, environment={}) == Policy(
        hang_floor=seconds(120),
        tick=milliseconds(50),
        hang_factor=20.0,
        slow_factor=2.5,
        vault_keep=5,
        vault_free_bytes=1 << 30,
        memory_free_bytes=4096,
        budget=Budget(3, seconds(3600)),
    )


def test_flags_stand_above_the_environment_and_that_above_the_file(home: Path) -> None:
    """Field by field."""
    write(home, '[policy]\nvault_keep = 4\ndeposit_every = "1h"\nhang_beats = 9\n')
    environment = {"GOLDTHREAD_VAULT_KEEP": "6", "GOLDTHREAD_DEPOSIT_EVERY": "2h", "GOLDTHREAD_HOME": str(home)}
    policy = load(home, {"vault_keep": 8, "budget": None}, environment)
    assert (policy.vault_keep, policy.deposit_every, policy.hang_beats) == (8, seconds(7200), 9)
    assert policy.budget == Budget()


def test_flags_may_be_words_or_ready_made(home: Path) -> None:
    """A command may have parsed them already."""
    overrides = {"hang_floor": seconds(5), "budget": Budget(1), "stop_grace": "7s", "check_share": 0.5}
    policy = load(home, overrides, {})
    assert (policy.hang_floor, policy.stop_grace, policy.check_share) == (seconds(5), seconds(7), 0.5)
    assert policy.budget == Budget(1)


def test_another_file_can_be_named(home: Path, tmp_path: Path) -> None:
    """Then it must be there."""
    other = tmp_path / "mine.toml"
    other.write_text('[policy]\nvault_keep = 7\nhang_floor = "9s"\n')
    write(home, "[policy]\nvault_keep = 4\n")
    policy = load(home, environment={"GOLDTHREAD_CONFIG": str(other)})
    assert (policy.vault_keep, policy.hang_floor) == (7, seconds(9))
    with pytest.raises(UsageError, match="absent is not there"):
        load(home, environment={"GOLDTHREAD_CONFIG": str(tmp_path / "absent")})


@pytest.mark.parametrize(
    ("text", "sentence", "hint"),
    [
        ('[policy]\nhang_flor = "2s"', r"goldthread.toml: \[policy\] hang_flor is not known", "hang_floor"),
        ("[policy]\nzzz = 1", "zzz is not known", "vault_keep"),
        ('[polcy]\nhang_floor = "2s"', "polcy is not known", r"\[policy\]"),
        ('hang_floor = "2s"', "hang_floor is not known", r"\[policy\]"),
        ("[policy]\nhang_floor = 2", r"\[policy\] hang_floor: 2 has no unit", '"2s"'),
        ('[policy]\nhang_floor = "2 parsecs"', r"hang_floor: '2 parsecs' is no length of time", "500ms"),
        ('[policy]\nvault_keep = "many"', "vault_keep: 'many' is no number", ""),
        ("[policy]\nvault_keep = 2.5", r"\[policy\] vault_keep: Expected `int`", ""),
        ("[policy]\nvault_keep = true", r"\[policy\] vault_keep: Expected `int`", ""),
        ('[policy]\nvault_free_bytes = "3 barrels"', "vault_free_bytes: '3 barrels' is no size", "256MiB"),
        ('[policy]\nbudget = "often"', "budget: 'often' is no restart budget", "5/10min"),
        ("[policy]\nbudget = [1]", r"\[policy\] budget: Expected", ""),
        ("[policy\n", "is not TOML", ""),
        ('[policy]\npreset = "slow"', r"\[policy\] preset: 'slow' is no preset", "fast"),
        ("[policy]\npreset = 3", r"\[policy\] preset: Expected `str`", ""),
        ('[keeper]\nhang_floor = "2s"', r"\[keeper\] hang_floor is not known", "lease_store"),
        ("[policy]\nvault_keep = 1", "the policy is unsafe: vault_keep", r"\[policy\] vault_keep in .*goldthread.toml"),
    ],
)
def test_what_is_not_understood_is_refused_with_its_place(home: Path, text: str, sentence: str, hint: str) -> None:
    """File, key, and what would do."""
    write(home, text)
    with pytest.raises(UsageError, match=sentence) as caught:
        load(home, environment={})
    assert re.search(hint, caught.value.hint)


def test_a_file_that_is_no_text_is_refused(home: Path) -> None:
    """Nor is a folder a file."""
    (home / "goldthread.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(UsageError, match="cannot be read"):
        load(home, environment={})
    with pytest.raises(UsageError, match="cannot be read"):
        load(home, environment={"GOLDTHREAD_CONFIG": str(home)})


def test_a_variable_with_a_slip_is_refused(home: Path) -> None:
    """Those with another meaning are left alone."""
    others = {"GOLDTHREAD_HOME": "/h", "GOLDTHREAD_MEMBER": "walk", "GOLDTHREAD_EPOCH": "3", "GOLDTHREAD_STACKS": "s"}
    assert load(home, environment=others) == Policy()
    assert load_settings(home, others).name == os.uname().nodename
    with pytest.raises(UsageError, match="GOLDTHREAD_HANG_FLOR is not known") as caught:
        load(home, environment={"GOLDTHREAD_HANG_FLOR": "2s"})
    assert caught.value.hint == "did you mean GOLDTHREAD_HANG_FLOOR?"
    with pytest.raises(UsageError, match="the environment: GOLDTHREAD_TICK: 'often' is no length of time"):
        load(home, environment={"GOLDTHREAD_TICK": "often"})
    with pytest.raises(UsageError, match="GOLDTHREAD_LEASE_STOR is not known"):
        load(home, environment={"GOLDTHREAD_LEASE_STOR": "memory:"})


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_a_safe_policy(home: Path, name: str) -> None:
    """Told in the file or in the environment."""
    write(home, f'[policy]\npreset = "{name}"\n')
    assert load(home, environment={}) == Policy(**PRESETS[name])
    assert load(home / "absent", environment={"GOLDTHREAD_PRESET": name}) == Policy(**PRESETS[name])


def test_single_numbers_stand_above_a_preset(home: Path) -> None:
    """Also those of the file above a preset of the environment."""
    write(home, '[policy]\npromise = "2s"\n')
    policy = load(home, {"lease": "3s"}, {"GOLDTHREAD_PRESET": "fast", "GOLDTHREAD_LEASE_EVERY": "200ms"})
    assert (policy.promise, policy.lease, policy.lease_every) == (seconds(2), seconds(3), milliseconds(200))
    assert policy.beat_every == PRESETS["fast"]["beat_every"]


def test_a_keeper_has_the_name_of_its_host(home: Path) -> None:
    """Where nobody has named it, and it listens where it can."""
    assert load_settings(home, {}) == Settings(name=os.uname().nodename)


def test_a_keeper_is_told_who_it_is(home: Path) -> None:
    """By the file and the environment, as its policy is; each reads its own part."""
    write(
        home,
        """
        [policy]
        vault_keep = 4
        [keeper]
        name = "iruka"
        label = "rack 1"
        listen = ":7447"
        """,
    )
    environment = {
        "GOLDTHREAD_LABEL": "rack 2",
        "GOLDTHREAD_LEASE_STORE": "memory:",
        "GOLDTHREAD_ADDRESSES": "iruka:7447, [2001:db8::7]:80",
        "GOLDTHREAD_VAULT_KEEP": "5",
    }
    assert load_settings(home, environment) == Settings(
        name="iruka",
        label="rack 2",
        lease_store="memory:",
        listen=":7447",
        addresses=("iruka:7447", "[2001:db8::7]:80"),
    )
    assert load(home, environment=environment) == Policy(vault_keep=5)


@pytest.mark.parametrize(
    ("text", "sentence", "hint"),
    [
        ('lease_stor = "memory:"', r"\[keeper\] lease_stor is not known", "lease_store"),
        ("name = 3", r"\[keeper\] name: Expected `str`", ""),
        ('name = "two\\nlines"', "name must have at most 100 signs", r"\[keeper\] name in"),
        (f'label = "{"x" * 101}"', "label must have at most 100 signs", ""),
        ('addresses = ["10.0.0.2:70000"]', "'10.0.0.2:70000' is no address", "addresses in"),
        ('addresses = ["kakashi"]', "'kakashi' is no address", ""),
        ("addresses = [1]", r"\[keeper\] addresses: Expected `str`", ""),
    ],
)
def test_a_setting_of_a_keeper_that_cannot_be_right_is_refused(home: Path, text: str, sentence: str, hint: str) -> None:
    """File, key, and what would do."""
    write(home, f"[keeper]\n{text}\n")
    with pytest.raises(UsageError, match=sentence) as caught:
        load_settings(home, {})
    assert re.search(hint, caught.value.hint)


def test_a_flag_that_is_no_field_is_refused(home: Path) -> None:
    """A slip in our own code is found by its test."""
    with pytest.raises(UsageError, match="the flags: vault_kep is not known"):
        load(home, {"vault_kep": 3}, {})


@pytest.mark.parametrize(("text", "truth"), [("yes", True), ("True", True), ("no", False), ("false", False)])
def test_neighbours_are_looked_for_where_it_is_said(home: Path, text: str, truth: bool) -> None:
    """Of a circle: without one there are none, and a setting that does nothing is refused."""
    told = {"GOLDTHREAD_NEIGHBOURS": text, "GOLDTHREAD_CIRCLE": write_circle(secrets.token_bytes(CIRCLE_BYTES))}
    assert load_settings(home, told).neighbours is truth
    with pytest.raises(UsageError, match="neither yes nor no"):
        load_settings(home, told | {"GOLDTHREAD_NEIGHBOURS": "perhaps"})
    with pytest.raises(UsageError, match="neighbours are keepers of a circle"):
        load_settings(home, {"GOLDTHREAD_NEIGHBOURS": "yes"})


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("0s", 0),
        ("7ns", 7),
        ("3us", 3_000),
        ("500ms", 500_000_000),
        ("2s", 2_000_000_000),
        (" 1.5 s ", 1_500_000_000),
        ("5min", 300_000_000_000),
        ("5m", 300_000_000_000),
        ("1h30min", 5_400_000_000_000),
        ("2D", 172_800_000_000_000),
    ],
)
def test_a_span_is_numbers_with_units(text: str, span: int) -> None:
    """Nanoseconds in the end."""
    assert parse_span(text) == span


@pytest.mark.parametrize("text", ["", " ", "5", "s", "-2s", "2s!", "2 years", "1h30", "nan s", "1e3s"])
def test_anything_else_is_no_span(text: str) -> None:
    """A number without a unit is not guessed at."""
    with pytest.raises(UsageError, match="is no length of time"):
        parse_span(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [("4096", 4096), ("12B", 12), ("1kb", 1000), ("256MiB", 256 << 20), ("2 GB", 2 * 10**9), ("1.5TiB", 3 << 39)],
)
def test_a_size_is_a_number_with_a_unit(text: str, count: int) -> None:
    """Powers of 1000, or with an i of 1024."""
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "MiB", "-1MB", "1 M", "0x10", "1MBit"])
def test_anything_else_is_no_size(text: str) -> None:
    """`M` alone could mean both."""
    with pytest.raises(UsageError, match="is no size"):
        parse_bytes(text)


def test_a_budget_is_a_count_and_perhaps_a_period() -> None:
    """Zero restarts is a budget too."""
    assert parse_budget("5") == Budget(5)
    assert parse_budget("0") == Budget(0)
    assert parse_budget("3/1h") == Budget(3, seconds(3600))
    for text in ("", "-1", "5/", "/1h", "x", "5/10", "1.5"):
        with pytest.raises(UsageError):
            parse_budget(text)

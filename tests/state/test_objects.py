"""Objects by their attributes: what is stored of them, what is refused, and what becomes of a class that changed."""

from __future__ import annotations

import ctypes
import dataclasses
import socket
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import pytest
from images import image_of, round_trip

import goldthread
from goldthread.errors import CannotStore, DoesNotFit
from goldthread.state.kinds.reduced import REDUCED_PACKAGES
from goldthread.state.restore import pour, read

HERE = Path(__file__).parent


class Thing:
    pass


class Upper:
    __slots__ = ("name",)


class Lower(Upper):
    __slots__ = ("name",)


class Pair(namedtuple("Pair", "left right")):
    """Has attributes beside its items."""


class Words(str):
    pass


class Row(tuple[Any, ...]):
    pass


class Watched:
    """A descriptor keeps what is set somewhere else."""

    class _Keeper:
        def __get__(self, thing: object, cls: object = None) -> str:
            raise RuntimeError("it is read")

        def __set__(self, thing: object, value: object) -> None:
            raise RuntimeError("it is set")

    level = _Keeper()


class Dying:
    def __del__(self) -> None:
        pass


class Loud:
    """Whatever is asked of it is an error."""

    def __getattribute__(self, name: str) -> Any:
        if name == "__class__":
            return Loud
        raise RuntimeError(f"{name} is read")

    def __setattr__(self, name: str, value: object) -> None:
        raise RuntimeError(f"{name} is set")


def test_what_an_object_says_is_not_asked() -> None:
    """Its attributes are read and set past all that its class defines."""
    loud = Loud()
    object.__getattribute__(loud, "__dict__")["volume"] = [11]
    its = round_trip([loud])[0]
    assert type(its) is Loud
    assert object.__getattribute__(its, "__dict__") == {"volume": [11]}


def test_slots_that_hide_one_another_come_back() -> None:
    """Each has its own value."""
    lower = Lower()
    lower.name = "below"
    vars(Upper)["name"].__set__(lower, "above")
    its = round_trip(lower)
    assert (its.name, vars(Upper)["name"].__get__(its)) == ("below", "above")


@pytest.mark.parametrize("made", [Row((1, [2])), Words("a"), Pair(1, [2])], ids=repr)
def test_an_object_may_hold_itself_by_its_attributes(made: Any) -> None:
    """Also one whose items must be there when it is made."""
    made.own = [made]
    if isinstance(made, str):
        made.all = {made}
    its = round_trip({"made": made})["made"]
    assert type(its) is type(made)
    assert its == made
    assert its.own[0] is its


def test_a_tuple_may_hold_itself_by_an_item() -> None:
    """An instance of a subclass, that is."""
    inner: list[Any] = []
    row = Row((inner, 1))
    inner.append(row)
    its = round_trip([row])[0]
    assert type(its) is Row
    assert its[0][0] is its


def test_an_object_and_its_own_dict_stay_together() -> None:
    """Whichever is met first, one by one and in blocks."""
    one = Thing()
    one.__dict__["x"] = 1
    for state in ([one, vars(one)], [vars(one), one]):
        its = round_trip(state)
        own, thing = (its[0], its[1]) if type(its[0]) is dict else (its[1], its[0])
        assert vars(thing) is own
        assert own == {"x": 1}
    many = [Thing() for _ in range(20)]
    for index, thing in enumerate(many):
        thing.__dict__["x"] = index
    things, own = round_trip([many, vars(many[7])])
    assert vars(things[7]) is own
    own, things = round_trip([vars(many[7]), many])
    assert vars(things[7]) is own


def test_two_objects_with_one_dict_have_one() -> None:
    """What is set on one is there on the other."""
    one, other = Thing(), Thing()
    other.__dict__ = one.__dict__
    its, other_its = round_trip([one, other])
    its.x = 5
    assert other_its.x == 5


def test_keys_that_equal_only_themselves_come_once() -> None:
    """Where the program's own took one at another place, that is the key."""
    mine, given, number = Thing(), Thing(), float("nan")
    mine.__dict__["x"], given.__dict__["x"] = 1, 0
    initial = {"one": given, "ages": {given: 0, float("nan"): 1}, "more": {Thing(): 0}}
    state = {"one": mine, "ages": {mine: 7, number: 8}, "more": {Thing(): 9}}
    its = pour(image_of(state), initial, map=False, pickle=False).state
    assert its["one"] is given
    assert its["one"].x == 1
    assert its["ages"][given] == 7
    assert list(its["ages"].values()) == [7, 8]
    assert list(its["more"].values()) == [9]


def locally() -> Any:
    class Local:
        pass

    return Local()


class Structure(ctypes.Structure):
    _fields_ = (("a", ctypes.c_int),)


REFUSED = [
    (locally, "made in a function"),
    (Watched, "keeps level by a descriptor"),
    (Dying, "runs code when it dies"),
    (Structure, "Structure cannot be stored"),
    (lambda: socket.socket(), "socket cannot be stored"),
    (lambda: dataclasses.make_dataclass("Made", ["x"])(1), "leads to no class"),
    (lambda: _with_attributes({1: 2}), "attribute whose name is no text"),
]


def _with_attributes(attributes: Any) -> Thing:
    thing = Thing()
    thing.__dict__ = attributes
    return thing


@pytest.mark.parametrize(("make", "why"), REFUSED, ids=[why for _, why in REFUSED])
def test_what_cannot_be_exact_is_refused_with_its_place(make: Any, why: str) -> None:
    """At commit, with a way out."""
    thing = make()
    with pytest.raises(CannotStore, match=r'^state\["deep"\]\[1\]') as refusal:
        image_of({"deep": [0, thing]})
    assert why in str(refusal.value)
    assert refusal.value.hint
    if hasattr(thing, "close"):
        thing.close()


# A class that changed between two lives.


@dataclasses.dataclass
class Agent:
    name: str
    level: int = 0


@dataclasses.dataclass
class Grown:
    name: str
    level: int = 0
    tags: list[int] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Demanding:
    name: str
    level: int
    rank: int


@dataclasses.dataclass
class Shrunk:
    name: str


for _next in (Grown, Demanding, Shrunk):
    _next.__qualname__ = "Agent"


def _changed(monkeypatch: pytest.MonkeyPatch, cls: type) -> None:
    """The next life has another class under the name."""
    monkeypatch.setattr(sys.modules[__name__], "Agent", cls)


def test_a_field_that_a_class_gained_has_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of things that are made anew; a list of its own for each."""
    image = image_of([Agent("a"), Agent("b")])
    _changed(monkeypatch, Grown)
    its = read(image, map=False, pickle=False)
    assert [one.tags for one in its] == [[], []]
    assert its[0].tags is not its[1].tags


def test_a_field_that_a_class_gained_without_a_default_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing else says what it should be."""
    image = image_of({"agent": Agent("a")})
    _changed(monkeypatch, Demanding)
    with pytest.raises(DoesNotFit, match=r'^state\["agent"\]: Agent has a field rank now'):
        read(image, map=False, pickle=False)


def test_a_field_that_a_class_lost_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made anew, and poured."""
    image = image_of({"agent": Agent("a", 3)})
    _changed(monkeypatch, Shrunk)
    anew = pour(image, None, map=False, pickle=False)
    assert anew.dropped == ('state["agent"].level',)
    assert vars(anew.state["agent"]) == {"name": "a"}


# What says itself how it is made.


class Celsius:
    """Says itself how it is pickled."""

    def __init__(self, degrees: float) -> None:
        self.kelvin = degrees + 273

    def __reduce__(self) -> Any:
        return Celsius, (self.kelvin - 273,)


class Stateful:
    def __getstate__(self) -> Any:
        return {"told": self.known}

    def __setstate__(self, state: Any) -> None:
        self.known = state["told"]
        self.again = True

    known: int = 1


class Lying:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit",)


class Crate(list[Any]):
    def __reduce_ex__(self, protocol: Any) -> Any:
        return Crate, (), {"label": "x"}, iter(self)


@pytest.fixture
def registered() -> Any:
    """The word of the program, taken back after the test."""
    from goldthread.state.kinds import recipes
    from goldthread.state.kinds.registry import REGISTRY

    classes = (Celsius, Stateful, Lying, Crate, Dying)
    for cls in classes:
        goldthread.register(cls)
    yield
    for cls in classes:
        recipes._REGISTERED.pop(cls)
        REGISTRY.forget(cls)


def test_a_class_that_is_not_registered_is_not_asked() -> None:
    """It is stored by its attributes."""
    stateful = Stateful()
    stateful.known = 7
    its = round_trip([stateful])[0]
    assert vars(its) == {"known": 7}


@pytest.mark.usefixtures("registered")
def test_a_registered_class_is_stored_as_it_says() -> None:
    """By its arguments, its state, its items; without pickle."""
    stateful, crate = Stateful(), Crate([1, [2]])
    stateful.known = 7
    warm = Celsius(20.0)
    its = round_trip({"warm": warm, "again": warm, "stateful": stateful, "crate": crate, "dying": Dying()})
    assert its["warm"].kelvin == 293.0
    assert its["again"] is its["warm"]
    assert vars(its["stateful"]) == {"known": 7, "again": True}
    assert (list(its["crate"]), its["crate"].label) == ([1, [2]], "x")
    assert type(its["dying"]) is Dying


@pytest.mark.usefixtures("registered")
def test_a_reduce_that_lies_is_refused() -> None:
    """Only the class itself makes its things."""
    with pytest.raises(CannotStore, match=r'^state\["a"\]: Lying is made by exec'):
        image_of({"a": Lying()})


def test_what_was_registered_must_be_again(registered: Any) -> None:
    """Else nothing of what the class says is used."""
    from goldthread.state.kinds import recipes

    image = image_of({"warm": Celsius(20.0)})
    recipes._REGISTERED.pop(Celsius)
    with pytest.raises(DoesNotFit, match="must be registered"):
        read(image, map=False, pickle=False)
    goldthread.register(Celsius)


def test_classes_of_a_package_that_is_known_are_stored_as_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """A family says so for its library."""
    from goldthread.state.kinds.registry import REGISTRY

    monkeypatch.setattr("goldthread.state.kinds.reduced.REDUCED_PACKAGES", {*REDUCED_PACKAGES, __name__})
    REGISTRY.forget(Celsius)
    assert round_trip([Celsius(1.0)])[0].kelvin == 274.0
    REGISTRY.forget(Celsius)


LIFE = """
import sys
sys.path[:0] = {paths!r}
import test_objects as own
from images import image_of
from goldthread.state.restore import read
from pathlib import Path
if sys.argv[1] == "commit":
    pair = own.Pair(1, "a")
    pair.held = {{own.Words("b"), 3}}
    Path(sys.argv[2]).write_bytes(image_of({{"pair": pair, "f": own.locally, "set": {{"a", "b"}}}}))
else:
    state = read(memoryview(bytearray(Path(sys.argv[2]).read_bytes())), map=False, pickle=False)
    assert state["f"] is own.locally and state["set"] == {{"a", "b"}}
    assert state["pair"] == own.Pair(1, "a") and 3 in state["pair"].held
    print("right")
"""


@pytest.mark.parametrize("flags", [[], ["-O"], ["-O", "-X", "frozen_modules=off"]], ids=str)
def test_another_process_with_other_hashes_and_flags_gives_it_back(tmp_path: Path, flags: list[str]) -> None:
    """Nothing rests on `assert`, on hashes of text, or on where modules come from."""
    program = LIFE.format(paths=[str(HERE), str(HERE.parent)])
    image = str(tmp_path / "image")
    subprocess.run([sys.executable, "-W", "ignore", "-c", program, "commit", image], check=True)
    command = [sys.executable, *flags, "-W", "ignore", "-c", program.replace("assert", "0 or"), "restore", image]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "right\n", done.stderr

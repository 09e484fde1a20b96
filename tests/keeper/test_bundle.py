"""What a takeover needs: gathered at the owner, laid out at the holder."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from goldthread.errors import KeeperError, PartnerError
from goldthread.keeper.bundle import (
    adopt_bundle,
    gather,
    held_folder,
    keep_bundle,
    lay_out,
    make_bundle,
    owned_folder,
    read_bundle,
    receive_bundle,
)
from goldthread.keeper.variables import host_variables, travelling
from goldthread.local import Home
from goldthread.names import KeeperId, MemberName
from goldthread.wire.bundle import Bundle, BundleFile, BundleLimits, Tree, pack
from goldthread.wire.messages import Command

WALK = MemberName("walk")
PARTNER = KeeperId("0123456789abcdef" * 2)
MIB = 1 << 20

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git: apt-get install git")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A working directory with a program in it."""
    folder = tmp_path / "work"
    (folder / "parts").mkdir(parents=True)
    (folder / "walk.py").write_text("import legs\nlegs.go()\n")
    (folder / "legs.py").write_text("def go(): print('went')\n")
    (folder / "parts" / "feet.py").write_text("")
    (folder / "notes.txt").write_text("mine")
    return folder


def command(directory: Path, *argv: str, **environment: str) -> Command:
    return Command((sys.executable, *argv), str(directory), {"PATH": os.environ["PATH"], **environment})


def names(bundle: Bundle, tree: int = 0) -> list[str]:
    return [file.path for file in bundle.trees[tree].files]


def track(folder: Path, *paths: str) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    for words in (["init", "-q"], ["add", "--", *paths]):
        subprocess.run(["git", *words], cwd=folder, env=environment, check=True)


# Variables


@pytest.mark.parametrize(
    "name",
    [
        "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "GITHUB_TOKEN", "HF_TOKEN", "WANDB_API_KEY", "OPENAI_APIKEY",
        "DB_PASSWORD", "MY_SECRET", "PGPASSWORD", "PGPASSFILE", "SSH_AUTH_SOCK", "GOOGLE_APPLICATION_CREDENTIALS",
        "DATABASE_URL", "SENTRY_DSN", "NETRC", "ssh_private_key", "some_token", "AZURE_CLIENT_ID", "KUBECONFIG",
        "VAULT_ADDR",
    ],
)  # fmt: skip
def test_credentials_never_travel(name: str) -> None:
    goes, _ = travelling({name: "of value", "STEPS": "3"})
    assert goes == {"STEPS": "3"}


def test_settings_of_a_service_are_no_credentials() -> None:
    settings = {"AWS_CA_BUNDLE": "/etc/ssl/ca.pem", "AWS_REGION": "eu-central-1"}
    assert travelling(settings) == (settings, ())


def test_a_password_in_an_address_does_not_travel() -> None:
    goes, stays = travelling({"HTTP_PROXY": "http://ann:secret@proxy:80/", "MODELS": "http://models:80/a@b:c"})
    assert goes == {"MODELS": "http://models:80/a@b:c"}
    assert stays == ("HTTP_PROXY",)


def test_what_belongs_to_a_session_a_host_or_a_keeper_stays() -> None:
    places = dict.fromkeys(
        ["DISPLAY", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "PWD", "HOME", "PATH", "GOLDTHREAD_HOME",
         "GOLDTHREAD_EPOCH", "GOLDTHREAD_MEMBER", "GOLDTHREAD_HANG_FLOOR"], "here",
    )  # fmt: skip
    goes, stays = travelling({**places, "PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "2", "GOLDTHREAD_BUNDLE": "src"})
    assert goes == {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "2", "GOLDTHREAD_BUNDLE": "src"}
    assert stays == ()


def test_a_variable_that_is_named_travels() -> None:
    goes, stays = travelling({"HF_TOKEN": "t", "PATH": "/bin", "WANDB_API_KEY": "k"}, ["HF_TOKEN", "PATH"])
    assert goes == {"HF_TOKEN": "t", "PATH": "/bin"}
    assert stays == ("WANDB_API_KEY",)


def test_credentials_that_stay_are_said(work: Path) -> None:
    started = command(work, "walk.py", HF_TOKEN="t", A_SECRET="s", GOLDTHREAD_BUNDLE_ENVIRONMENT="HF_TOKEN,OTHER")
    gathered = gather(WALK, started)
    assert gathered.left == "not told to a partner: A_SECRET"
    assert gathered.bundle.environment["HF_TOKEN"] == "t"
    assert b"A_SECRET" not in pack(gathered.bundle)


# Files


def test_without_git_the_script_and_the_modules_beside_it_travel(work: Path) -> None:
    gathered = gather(WALK, command(work, "walk.py"))
    assert names(gathered.bundle) == ["legs.py", "walk.py"]
    assert gathered.bundle.trees[0].files[0].content == b"def go(): print('went')\n"
    assert gathered.left == ""


def test_files_that_the_command_line_names_travel(work: Path) -> None:
    """Also behind an option."""
    started = command(work, "parts/feet.py", "--notes=notes.txt", "--steps=3", "x" * 5000)
    assert names(gather(WALK, started).bundle) == ["notes.txt", "parts/feet.py"]


def test_a_package_that_is_run_by_its_name_travels(work: Path) -> None:
    """With what lies beside it, since Python looks there too."""
    assert names(gather(WALK, command(work, "-m", "parts.feet")).bundle) == ["legs.py", "parts/feet.py", "walk.py"]
    assert names(gather(WALK, command(work, "-m", "legs")).bundle) == ["legs.py", "walk.py"]


def test_packages_beside_the_script_travel(work: Path) -> None:
    """What `import` finds: no folder that is none, and nothing that Python wrote there itself."""
    for path in ("model/__init__.py", "model/deep/net.py", "model/__pycache__/net.py", "model/notes.txt"):
        (work / path).parent.mkdir(parents=True, exist_ok=True)
        (work / path).write_text("")
    model = ["model/__init__.py", "model/deep/net.py"]
    assert names(gather(WALK, command(work, "walk.py")).bundle) == ["legs.py", *model, "walk.py"]
    by_name = gather(WALK, command(work, "-m", "parts.feet")).bundle
    assert names(by_name) == ["legs.py", *model, "parts/feet.py", "walk.py"]


@needs_git
def test_what_git_tracks_travels_as_it_is_now(work: Path) -> None:
    """And the script, though it was never added."""
    track(work, "legs.py", "parts", "notes.txt")
    (work / "notes.txt").write_text("changed")
    (work / "legs.py").unlink()
    (work / "scratch.py").write_text("")
    bundle = gather(WALK, command(work, "walk.py")).bundle
    assert names(bundle) == ["notes.txt", "parts/feet.py", "walk.py"]
    assert bundle.trees[0].files[0].content == b"changed"


@needs_git
def test_git_is_asked_about_this_folder_only(work: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever repository a variable of the keeper points to."""
    track(work, "notes.txt", "parts")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "none"))
    assert names(gather(WALK, command(work / "parts", "feet.py")).bundle) == ["feet.py"]
    assert "notes.txt" in names(gather(WALK, command(work, "walk.py")).bundle)


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("parts", ["parts/feet.py", "walk.py"]),
        ("*.txt", ["notes.txt", "walk.py"]),
        ("*.txt:parts", ["notes.txt", "parts/feet.py", "walk.py"]),
        ("**", ["legs.py", "notes.txt", "parts/feet.py", "walk.py"]),
        ("**/*.py", ["legs.py", "parts/feet.py", "walk.py"]),
        ("..", ["legs.py", "notes.txt", "parts/feet.py", "walk.py"]),
    ],
)
def test_what_the_user_names_travels(work: Path, wanted: str, found: list[str]) -> None:
    """Of the working directory, and the script in any case."""
    assert names(gather(WALK, command(work, "walk.py", GOLDTHREAD_BUNDLE=wanted)).bundle) == found


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ("none", "none (it names no file of this folder)"),
        ("partz/**", "partz/** (it names no file of this folder)"),
        ("/etc", "/etc (it names no file of this folder)"),
        ("/etc/*.conf", "/etc/*.conf ("),
    ],
)
def test_a_wish_that_names_no_file_is_said(work: Path, wanted: str, said: str) -> None:
    """It may be written wrong, and the program would miss its files only at a takeover. The others travel."""
    gathered = gather(WALK, command(work, "walk.py", GOLDTHREAD_BUNDLE=f"{wanted}:*.txt"))
    assert names(gathered.bundle) == ["notes.txt", "walk.py"]
    assert gathered.left.startswith(f"left out: {said}")


def test_a_script_elsewhere_brings_its_folder(work: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    bundle = gather(WALK, command(elsewhere, "../work/walk.py", str(work / "notes.txt"))).bundle
    assert [tree.folder for tree in bundle.trees] == [str(elsewhere), str(work)]
    assert names(bundle, 1) == ["legs.py", "walk.py"]


def test_what_is_too_large_is_left_out_and_said(work: Path) -> None:
    """The script goes first."""
    (work / "big.py").write_bytes(bytes(3 * MIB))
    limits = BundleLimits(bytes=2 * MIB, file_bytes=MIB)
    for at in range(3):
        (work / f"a{at}.py").write_bytes(bytes(MIB - 100))
    gathered = gather(WALK, command(work, "walk.py"), limits)
    assert names(gathered.bundle) == ["a0.py", "a1.py", "legs.py", "walk.py"]
    assert gathered.left == "left out: a2.py (the bundle is full), big.py (3.0 MiB)"


def test_modules_go_before_other_files(work: Path) -> None:
    (work / "a.txt").write_text("")
    gathered = gather(WALK, command(work, "walk.py", GOLDTHREAD_BUNDLE="**"), BundleLimits(files=3))
    assert names(gathered.bundle) == ["legs.py", "parts/feet.py", "walk.py"]
    assert gathered.left == "left out: a.txt (the bundle is full), notes.txt (the bundle is full)"


def test_no_more_files_than_the_limit(work: Path) -> None:
    gathered = gather(WALK, command(work, "walk.py"), BundleLimits(files=1))
    assert names(gathered.bundle) == ["walk.py"]
    assert gathered.left == "left out: legs.py (the bundle is full)"


def test_what_is_wanted_and_cannot_be_read_is_said(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what comes after it goes all the same: a takeover without it would be a surprise."""
    os.mkfifo(work / "a.fifo")
    (work / "b.txt").write_text("b")
    (work / "shut").mkdir()
    (work / "shut" / "c.txt").write_text("c")

    look = Path.stat

    def stat(path: Path, **how: bool) -> os.stat_result:
        if path.name == "c.txt":  # Root may look at everything.
            raise PermissionError(13, "Permission denied")
        return look(path, **how)

    monkeypatch.setattr(Path, "stat", stat)
    gathered = gather(WALK, command(work, "walk.py", GOLDTHREAD_BUNDLE="**"))
    assert "b.txt" in names(gathered.bundle) and "walk.py" in names(gathered.bundle)
    assert "a.fifo (no plain file)" in gathered.left
    assert "shut/c.txt ([Errno 13] Permission denied)" in gathered.left


def test_links_out_are_left_out_and_links_within_become_files(work: Path, tmp_path: Path) -> None:
    (tmp_path / "private.py").write_text("secret")
    (work / "out.py").symlink_to("../private.py")
    (work / "within.py").symlink_to("legs.py")
    (work / "round.py").symlink_to("round.py")
    os.mkfifo(work / "pipe.py")
    gathered = gather(WALK, command(work, "walk.py"))
    assert names(gathered.bundle) == ["legs.py", "walk.py", "within.py"]
    assert "out.py (a link to elsewhere)" in gathered.left
    assert "pipe.py (no plain file)" in gathered.left
    assert "round.py" in gathered.left


def test_a_name_that_cannot_travel_is_said(work: Path) -> None:
    Path(os.fsdecode(os.fsencode(work) + b"/\xff.py")).write_text("")
    gathered = gather(WALK, command(work, "walk.py"))
    assert names(gathered.bundle) == ["legs.py", "walk.py"]
    assert "'\\udcff.py' (no plain file)" in gathered.left


def test_the_digest_is_that_of_what_is_in_it(home: Home, work: Path) -> None:
    """Not of when it was gathered, nor of when files were touched."""
    first = make_bundle(home, WALK, command(work, "walk.py"))
    os.utime(work / "walk.py", (0, 0))
    again = make_bundle(home, WALK, command(work, "walk.py"))
    (work / "walk.py").chmod(0o755)
    changed = make_bundle(home, WALK, command(work, "walk.py"))
    assert first.digest == again.digest != changed.digest


def test_what_cannot_be_gathered_is_said(home: Home, work: Path) -> None:
    shutil.rmtree(work)
    made = make_bundle(home, WALK, command(work, "walk.py"))
    assert made.digest == ""
    assert str(work) in made.text


def test_variables_without_end_are_said(home: Home, work: Path) -> None:
    made = make_bundle(home, WALK, command(work, "walk.py", LONG="x" * (41 * MIB)))
    assert made.digest == ""
    assert "too large" in made.text


def test_the_interpreter_is_asked_itself(work: Path) -> None:
    """Also the one that the first line of a program names; one that does not answer is none."""
    asked = gather(WALK, command(work, "walk.py")).bundle.interpreter
    assert asked is not None
    assert asked.version == sys.version.split()[0]
    assert "msgspec" in asked.packages
    (work / "run").write_text(f"#!{sys.executable}\n")
    assert gather(WALK, Command((str(work / "run"),), str(work), {})).bundle.interpreter == asked
    (work / "python9").write_text("#!/bin/sh\nexit 1\n")
    (work / "python9").chmod(0o755)
    assert gather(WALK, Command((str(work / "python9"),), str(work), {})).bundle.interpreter is None
    assert gather(WALK, Command(("/bin/sh",), str(work), {})).bundle.interpreter is None


# Kept


def test_the_newest_is_kept_and_read_back(tmp_path: Path) -> None:
    """And the one before it; no more."""
    digests = []
    for at, text in enumerate([b"first", b"second", b"third"]):
        digests.append(keep_bundle(text, tmp_path / "a"))
        os.utime(tmp_path / "a" / f"{digests[-1]}.bundle", (at, at))
    assert read_bundle(tmp_path / "a", digests[2]) == b"third"
    assert read_bundle(tmp_path / "a", digests[1]) == b"second"
    with pytest.raises(KeeperError):
        read_bundle(tmp_path / "a", digests[0])
    assert sorted(path.stem for path in (tmp_path / "a").iterdir()) == sorted(digests[1:])


def test_a_kept_bundle_that_was_damaged_is_noticed(tmp_path: Path) -> None:
    digest = keep_bundle(b"first", tmp_path)
    (tmp_path / f"{digest}.bundle").write_bytes(b"frist")
    with pytest.raises(KeeperError, match="damaged"):
        read_bundle(tmp_path, digest)


@pytest.mark.parametrize(("partner", "member"), [("../../up", "walk"), (PARTNER, "../up"), (PARTNER, "")])
def test_names_of_a_partner_lead_nowhere_else(home: Home, partner: str, member: str) -> None:
    with pytest.raises((PartnerError, ValueError)):
        held_folder(home, KeeperId(partner), MemberName(member))


def test_what_arrives_is_kept_and_compared(home: Home, work: Path) -> None:
    bundle = gather(WALK, command(work, "walk.py")).bundle
    assert bundle.interpreter is not None
    there = msgspec.structs.replace(bundle.interpreter, packages={"msgspec": "0.1", "walking": "2"})
    packed = pack(msgspec.structs.replace(bundle, argv=("/no/python3", "walk.py"), interpreter=there))
    digest = keep_bundle(packed, work / "sent")
    said = receive_bundle(home, PARTNER, WALK, digest, packed)
    assert said[0] == f"/no/python3 is not at the holder: {sys.executable} would run it there"
    assert said[1].startswith("msgspec is 0.1 at the owner, ")
    assert said[2:] == ("walking 2 is missing at the holder",)
    assert packed == read_bundle(held_folder(home, PARTNER, WALK), digest)
    assert (held_folder(home, PARTNER, WALK) / digest / "0" / "legs.py").is_file()


def test_a_takeover_writes_no_file(home: Home, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came is moved to its place, so a full disk is in nobody's way; to do it twice is to do it once."""
    packed = pack(gather(WALK, command(work, "walk.py")).bundle)
    digest = keep_bundle(packed, work / "sent")
    receive_bundle(home, PARTNER, WALK, digest, packed)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fdopen", refuse)
    started = adopt_bundle(home, PARTNER, WALK, digest)
    assert started == adopt_bundle(home, PARTNER, WALK, digest)
    assert started.directory == str(home.member(WALK) / "program" / digest / "0")
    assert Path(started.directory, "legs.py").is_file()
    assert read_bundle(owned_folder(home, WALK), digest) == packed
    assert list(held_folder(home, PARTNER, WALK).iterdir()) == []


def test_a_bundle_that_never_came_cannot_be_adopted(home: Home) -> None:
    with pytest.raises(KeeperError, match="is not in"):
        adopt_bundle(home, PARTNER, WALK, "0" * 32)


def test_what_was_laid_out_goes_with_its_bundle(home: Home, work: Path) -> None:
    """Two are kept, each with its files."""
    digests = []
    for at, words in enumerate(("one", "two", "three")):
        packed = pack(gather(WALK, command(work, "walk.py", words)).bundle)
        digests.append(keep_bundle(packed, work / "sent"))
        receive_bundle(home, PARTNER, WALK, digests[-1], packed)
        os.utime(held_folder(home, PARTNER, WALK) / f"{digests[-1]}.bundle", (at, at))
    kept = {path.name for path in held_folder(home, PARTNER, WALK).iterdir()}
    assert kept == {name for digest in digests[1:] for name in (digest, f"{digest}.bundle")}


def test_another_bundle_than_the_one_announced_is_refused(home: Home, work: Path) -> None:
    packed = pack(gather(WALK, command(work, "walk.py")).bundle)
    digest = keep_bundle(packed, work / "sent")
    for member, told in ((MemberName("run"), digest), (WALK, "0" * 32)):
        with pytest.raises(PartnerError):
            receive_bundle(home, PARTNER, member, told, packed)
    assert not (home.path / "bundles").exists()


# Laid out


def test_the_program_runs_where_it_was_laid_out(work: Path, tmp_path: Path) -> None:
    """With its own modules, from a folder of its own; the owner's is gone."""
    bundle = gather(WALK, command(work, "walk.py")).bundle
    shutil.rmtree(work)
    started = lay_out(bundle, tmp_path / "there")
    assert started.argv == (sys.executable, "walk.py")
    assert started.directory == str(tmp_path / "there" / "0")
    ran = subprocess.run(started.argv, cwd=started.directory, env=started.environment, capture_output=True, check=True)
    assert ran.stdout == b"went\n"


def test_paths_into_the_owners_folders_are_moved(work: Path, tmp_path: Path) -> None:
    """What is not in the bundle and exists here stays where it is; what exists nowhere is in the new folder."""
    data = work / "data.bin"
    data.write_bytes(bytes(5 * MIB))
    outside = tmp_path / "outside.py"
    outside.write_text("")
    started = command(
        work, str(work / "walk.py"), f"--out={work}/results", str(data), "parts/feet.py", "../outside.py", "3",
        PYTHONPATH=f"{work}:/usr/lib:{work}/parts",
    )  # fmt: skip
    there = tmp_path / "there"
    laid = lay_out(gather(WALK, started).bundle, there)
    assert laid.argv[1:] == (
        f"{there}/0/walk.py", f"--out={there}/0/results", str(data), "parts/feet.py", f"{there}/1/outside.py", "3"
    )  # fmt: skip
    assert laid.environment["PYTHONPATH"] == f"{there}/0:/usr/lib:{there}/0/parts"
    data.unlink()
    assert lay_out(gather(WALK, started).bundle, there).argv[3] == f"{there}/0/data.bin"


def test_a_program_of_the_bundle_is_run_from_the_bundle(work: Path, tmp_path: Path) -> None:
    (work / "go").write_text("#!/bin/sh\necho went\n")
    (work / "go").chmod(0o755)
    bundle = gather(WALK, Command((str(work / "go"),), str(work), {})).bundle
    started = lay_out(bundle, tmp_path / "there")
    assert started.argv == (str(tmp_path / "there" / "0" / "go"),)
    assert subprocess.check_output(started.argv, cwd=started.directory) == b"went\n"


def test_the_host_gives_its_own_variables(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless its user named them."""
    monkeypatch.setenv("HOME", "/here")
    monkeypatch.setenv("PATH", "/bin:/usr/bin")
    started = command(work, "walk.py", HOME="/there", TZ="UTC", STEPS="3", GOLDTHREAD_BUNDLE_ENVIRONMENT="TZ")
    laid = lay_out(gather(WALK, started).bundle, tmp_path / "there").environment
    assert (laid["HOME"], laid["PATH"], laid["TZ"], laid["STEPS"]) == ("/here", "/bin:/usr/bin", "UTC", "3")
    assert host_variables(os.environ).keys() <= laid.keys()


def test_what_the_program_changed_is_not_written_again(work: Path, tmp_path: Path) -> None:
    """But a file that a loss of power left empty is."""
    bundle = gather(WALK, command(work, "walk.py")).bundle
    there = tmp_path / "there"
    lay_out(bundle, there)
    (there / "0" / "legs.py").write_text("changed")
    (there / "0" / "walk.py").write_text("")
    (there / "0" / "results").write_text("kept")
    lay_out(bundle, there)
    texts = {path.name: path.read_text() for path in (there / "0").iterdir()}
    assert texts == {"legs.py": "changed", "walk.py": "import legs\nlegs.go()\n", "results": "kept"}


def test_a_link_that_the_program_made_is_not_written_through(work: Path, tmp_path: Path) -> None:
    bundle = gather(WALK, command(work, "walk.py")).bundle
    there, outside = tmp_path / "there", tmp_path / "outside"
    lay_out(bundle, there)
    outside.write_text("")
    (there / "0" / "legs.py").unlink()
    (there / "0" / "legs.py").symlink_to(outside)
    lay_out(bundle, there)
    assert outside.read_text() == ""


@pytest.mark.parametrize("interrupt", ["mkdir", "rename"])
def test_a_folder_that_is_not_whole_has_no_name(
    work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupt: str
) -> None:
    """Where writing fails nothing is left, and the next attempt begins anew."""
    bundle = gather(WALK, command(work, "walk.py", "parts/feet.py")).bundle
    usual: Callable[..., object] = getattr(Path, interrupt)

    def full(path: Path, *rest: object, **named: object) -> object:
        if ".being-written-" in str(path):
            raise OSError("the disk is full")
        return usual(path, *rest, **named)

    with monkeypatch.context() as patch:
        patch.setattr(Path, interrupt, full)
        with pytest.raises(KeeperError, match="the disk is full"):
            lay_out(bundle, tmp_path / "a" / "there")
    assert list((tmp_path / "a").iterdir()) == []
    lay_out(bundle, tmp_path / "a" / "there")


def test_a_member_goes_on_to_a_third_host_with_all_that_it_had(work: Path, tmp_path: Path) -> None:
    """What is gathered from a folder that was laid out is what came there, with its changes, and no results."""
    (work / "data.json").write_text("{}")
    bundle = gather(WALK, command(work, "walk.py", GOLDTHREAD_BUNDLE="**")).bundle
    laid = lay_out(bundle, tmp_path / "second")
    (Path(laid.directory) / "results.bin").write_text("much")
    (Path(laid.directory) / "data.json").write_text("[]")
    plain = msgspec.structs.replace(
        laid, environment={key: text for key, text in laid.environment.items() if key != "GOLDTHREAD_BUNDLE"}
    )
    again = gather(WALK, plain).bundle
    assert names(bundle) == names(again) == ["data.json", "legs.py", "notes.txt", "parts/feet.py", "walk.py"]
    assert again.trees[0].files[0].content == b"[]"


def test_a_folder_of_a_bundle_can_be_empty(tmp_path: Path) -> None:
    bundle = Bundle(WALK, ("/bin/sh", "-c", "true"), "/nowhere", {}, (Tree("/nowhere", ()),), None)
    started = lay_out(bundle, tmp_path / "there")
    assert subprocess.run(started.argv, cwd=started.directory, check=True).returncode == 0


def test_deep_files_are_written_with_their_rights(tmp_path: Path) -> None:
    files = (BundleFile("a/b/c", False, b"1"), BundleFile("a/d", True, b"2"))
    bundle = Bundle(WALK, ("/bin/sh",), "/w", {}, (Tree("/w", files),), None)
    lay_out(bundle, tmp_path / "there")
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "there" / "0").rglob("*") if path.is_file()}
    assert modes == {"c": 0o600, "d": 0o700}

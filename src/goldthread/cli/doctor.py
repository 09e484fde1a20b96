"""`goldthread doctor`: what this host offers a keeper, and what to do about what is missing.

Each check tries the thing itself where that is cheap, and leaves nothing behind.
"""

from __future__ import annotations

import fcntl
import os
import platform
import resource
import sys
import time
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Final

import click
import msgspec

from goldthread.cli.arguments import json_option
from goldthread.cli.screen import lasting, paint, print_json, print_table, size
from goldthread.config import load, load_settings
from goldthread.errors import GoldthreadError, UsageError
from goldthread.keeper.cgroup import LifeGroup
from goldthread.local import Home
from goldthread.names import MemberName, seconds
from goldthread.policy import Policy
from goldthread.slots.kernel import HUGE_PAGE_BYTES, map_descriptor, memory_file, seal_size, touch

__all__ = ["Finding", "Verdict", "doctor", "findings"]

_OPEN_FILES_FEW: Final = 1024
_MEMORY_LITTLE: Final = 1 << 30
_KERNEL_COLLAPSE: Final = (6, 1)
_SLOW_CLOCKS: Final = frozenset({"hpet", "acpi_pm", "jiffies", "refined-jiffies"})
_FLEETING: Final = frozenset({"tmpfs", "ramfs"})
_DISTANT: Final = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "lustre", "ceph"})


class Verdict(Enum):
    OK = "ok"
    WORSE = "worse"
    """goldthread works, with less speed or less knowledge."""
    MISSING = "missing"
    """goldthread does not work without it."""


class Finding(msgspec.Struct, frozen=True):
    """One row of what the doctor says."""

    what: str
    found: str
    verdict: Verdict = Verdict.OK
    advice: str = ""
    """What to do; empty where nothing is to be done."""


@click.command(epilog="Example: goldthread doctor")
@json_option
def doctor(as_json: bool) -> int:
    """Say what this host offers, and what to do about what is missing.

    Ends with status 1 where something essential is missing.
    """
    found = findings(Home.default())
    if as_json:
        print_json(found)
    else:
        _show(found)
    return int(any(finding.verdict is Verdict.MISSING for finding in found))


def findings(home: Home) -> list[Finding]:
    """Everything that the doctor looks at, for the keeper of `home`. Nothing is changed."""
    checks: tuple[Callable[[], Finding], ...] = (
        _python,
        _kernel,
        _memory_files,
        _process_descriptors,
        _huge_pages,
        _memory,
        lambda: _control_groups(home),
        _open_files,
        _shared_memory_folder,
        lambda: _permissions(home),
        lambda: _configuration(home),
        lambda: _disk(home),
        _tracing,
        _written_pages,
        _clock,
        _encryption,
        lambda: _address(home),
        lambda: _lease_store(home),
    )
    return [check() for check in checks]


def _show(found: list[Finding]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    colours = {Verdict.OK: "green", Verdict.WORSE: "yellow", Verdict.MISSING: "red"}
    table = Table(box=box.SIMPLE_HEAD if sys.stdout.isatty() else None, pad_edge=False)
    for heading in ("", "what", "found", "what to do"):
        table.add_column(heading, no_wrap=heading == "", overflow="fold")
    for finding in found:
        verdict = Text(finding.verdict.value, style=colours[finding.verdict])
        table.add_row(verdict, Text(finding.what), Text(finding.found), Text(finding.advice))
    print_table(table)
    missing = sum(finding.verdict is Verdict.MISSING for finding in found)
    worse = sum(finding.verdict is Verdict.WORSE for finding in found)
    if missing:
        click.echo(paint(f"\ngoldthread cannot work here: {missing} of {len(found)} things are missing", "red"))
    else:
        click.echo(f"\ngoldthread works here; {worse} of {len(found)} things could be better")


def _python() -> Finding:
    """An older Python could not have imported this module."""
    version = f"{platform.python_implementation()} {platform.python_version()} on {platform.machine()}"
    return Finding("Python", version)


def _kernel() -> Finding:
    found = f"{platform.system()} {platform.release()}"
    if sys.platform != "linux":
        return Finding("kernel", found, Verdict.MISSING, "keep programs on a Linux host")
    version = tuple(int(part) for part in platform.release().split("-")[0].split(".")[:2] if part.isdecimal())
    if version < _KERNEL_COLLAPSE:
        return Finding("kernel", found, Verdict.WORSE, "Linux 6.1 or newer prepares slots faster")
    return Finding("kernel", found)


def _memory_files() -> Finding:
    """Slots are memory files, sealed against shrinking."""
    try:
        descriptor = memory_file("goldthread-doctor", 4096)
        try:
            seal_size(descriptor)
            seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
        finally:
            os.close(descriptor)
    except (OSError, AttributeError) as error:
        return Finding("memory files", f"memfd_create: {error}", Verdict.MISSING, "allow memfd_create and its seals")
    return Finding("memory files", f"memfd_create, seals {seals:#x}")


def _process_descriptors() -> Finding:
    """The keeper sees deaths through them."""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except (OSError, AttributeError) as error:
        return Finding("deaths", f"pidfd_open: {error}", Verdict.MISSING, "use Linux 5.3 or newer; allow pidfd_open")
    return Finding("deaths", "pidfd_open")


def _huge_pages() -> Finding:
    """Prepare a slot of two huge pages, and ask the kernel how it is mapped."""
    length = 2 * HUGE_PAGE_BYTES
    try:
        descriptor = memory_file("goldthread-doctor", length)
        try:
            touch(descriptor, length)
            view = map_descriptor(descriptor, length, writable=False)
            # A read of each page brings it into this mapping, as it is.
            bytes(view[::HUGE_PAGE_BYTES])
            huge = _huge_bytes("goldthread-doctor")
            view.release()
        finally:
            os.close(descriptor)
    except OSError as error:
        return Finding("huge pages", str(error), Verdict.WORSE, "free some memory")
    if huge < length:
        advice = "echo advise > /sys/kernel/mm/transparent_hugepage/shmem_enabled (as root) may help"
        return Finding("huge pages", f"{size(huge)} of {size(length)}", Verdict.WORSE, advice)
    return Finding("huge pages", f"{size(huge)} of {size(length)}")


def _huge_bytes(name: str) -> int:
    """How much of the mappings of a memory file this process sees in huge pages."""
    ours, most = False, 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        word = line.split(None, 1)[0]
        if not word.endswith(":"):
            ours = f"/memfd:{name}" in line
        elif ours and word in ("ShmemPmdMapped:", "FilePmdMapped:"):
            most = max(most, int(line.split()[1]) << 10)
    return most


def _memory() -> Finding:
    facts = {line.split(":")[0]: line.split()[1] for line in _lines("/proc/meminfo")}
    available = int(facts.get("MemAvailable", "0")) << 10
    found = f"{size(available)} of {size(int(facts.get('MemTotal', '0')) << 10)} are available"
    if available < _MEMORY_LITTLE:
        advice = "a member takes up to three times its state in memory; free some, or commit less"
        return Finding("memory", found, Verdict.WORSE, advice)
    return Finding("memory", found)


def _control_groups(home: Home) -> Finding:
    """Make a group as for a life, and remove it."""
    group, reason = LifeGroup.make(f"doctor-{os.getpid()}", home.path)
    if group is None:
        advice = (
            "start the keeper by `systemd-run --user --scope -p Delegate=yes`; else running out of memory is guessed"
        )
        return Finding("control groups", reason, Verdict.WORSE, advice)
    group.remove()
    return Finding("control groups", f"version {2 if group.unified else 1}, a life can have its own")


def _open_files() -> Finding:
    """What a keeper may have: it raises its own limit as far as it goes."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most < _OPEN_FILES_FEW:
        advice = "raise the hard limit (nofile in limits.conf): a keeper needs about ten for each member"
        return Finding("open files", f"{most} at most", Verdict.WORSE, advice)
    return Finding("open files", f"{most} at most")


def _shared_memory_folder() -> Finding:
    try:
        disk = os.statvfs("/dev/shm")
    except OSError:
        return Finding("/dev/shm", "none; it is not needed")
    return Finding("/dev/shm", f"{size(disk.f_bavail * disk.f_frsize)} free; it is not needed")


def _permissions(home: Home) -> Finding:
    place = _existing(home.path)
    if not os.access(place, os.R_OK | os.W_OK | os.X_OK) or not place.is_dir():
        advice = "set GOLDTHREAD_HOME to a folder that you may write to"
        return Finding("home", f"{place} cannot be written to", Verdict.MISSING, advice)
    if place != home.path:
        return Finding("home", f"{home.path}, not made yet")
    facts = place.stat()
    if facts.st_mode & 0o077 or facts.st_uid != os.getuid():
        advice = f"chmod 700 {place}" if facts.st_uid == os.getuid() else "use a home of your own"
        return Finding("home", f"{place} is open to others: mode {facts.st_mode & 0o777:o}", Verdict.WORSE, advice)
    return Finding("home", str(home.path))


def _configuration(home: Home) -> Finding:
    try:
        policy = load(home.path)
    except UsageError as error:
        return Finding("configuration", str(error), Verdict.MISSING, error.hint or "mend the file")
    changed = [name for name in policy.__struct_fields__ if getattr(policy, name) != getattr(Policy(), name)]
    return Finding("configuration", f"changed: {', '.join(changed)}" if changed else "as it comes")


def _disk(home: Home) -> Finding:
    place = _existing(home.path)
    disk = os.statvfs(place)
    free, kind = disk.f_bavail * disk.f_frsize, _file_system(place)
    found = f"{size(free)} free" + (f" on {kind}" if kind else "")
    if kind in _FLEETING:
        advice = "set GOLDTHREAD_HOME to a folder on a disk: this one is empty after a restart of the host"
        return Finding("disk of the vault", found, Verdict.WORSE, advice)
    if kind in _DISTANT:
        advice = "set GOLDTHREAD_HOME to a folder on a local disk: the journal wants one"
        return Finding("disk of the vault", found, Verdict.WORSE, advice)
    if free < Policy().vault_free_bytes * 2:
        return Finding("disk of the vault", found, Verdict.WORSE, "make room: deposits pause when it is full")
    return Finding("disk of the vault", found)


def _tracing() -> Finding:
    """The stacks of a program that hangs come from the program itself; a tool from outside needs more."""
    scope = next(iter(_lines("/proc/sys/kernel/yama/ptrace_scope")), "0").strip()
    if scope != "0":
        return Finding("tracing", f"ptrace_scope {scope}; py-spy needs root here, goldthread's own stacks do not")
    return Finding("tracing", "allowed to the same user")


def _written_pages() -> Finding:
    """What a commit asks where little of the state changes."""
    from goldthread.slots.writes import WrittenPages  # It loads NumPy.

    try:
        WrittenPages().close()
    except OSError as error:
        found = f"the kernel does not say ({error.strerror or error})"
        return Finding(
            "written pages",
            found,
            Verdict.WORSE,
            "Linux 6.7 or newer: where little of a state changes, a commit reads only that",
        )
    return Finding("written pages", "known to the kernel: where little of a state changes, a commit reads only that")


def _clock() -> Finding:
    source = next(iter(_lines("/sys/devices/system/clocksource/clocksource0/current_clocksource")), "unknown").strip()
    found = f"{source}, monotonic to {time.get_clock_info('monotonic').resolution * 1e9:.0f} ns"
    if source in _SLOW_CLOCKS:
        return Finding("clock", found, Verdict.WORSE, "a beat costs a slow clock read; boot with clocksource=tsc")
    return Finding("clock", found)


# What bonds need


def _encryption() -> Finding:
    """Keepers of two hosts speak TLS with keys of their own."""
    try:
        import cryptography
        import OpenSSL
        from OpenSSL import SSL
    except ImportError as error:
        advice = "pip install cryptography pyOpenSSL: without them this host cannot be bonded"
        return Finding("encryption", f"{error.name} is missing", Verdict.WORSE, advice)
    library = SSL.SSLeay_version(SSL.SSLEAY_VERSION).decode().split(" ")[1]
    versions = f"cryptography {cryptography.__version__}, pyOpenSSL {OpenSSL.__version__}, OpenSSL {library}"
    return Finding("encryption", versions)


def _address(home: Home) -> Finding:
    """Where partners reach this host, and what a firewall must let through."""
    from goldthread.keeper.interfaces import own_hosts

    try:
        settings = load_settings(home.path)
    except UsageError as error:
        return Finding("address", str(error), Verdict.WORSE, error.hint or "mend the file")
    if settings.addresses:
        return Finding("address", ", ".join(settings.addresses))
    hosts = own_hosts()
    found = f"{', '.join(hosts)}, {_ports(home, settings.listen)}"
    if hosts == ["127.0.0.1"]:
        return Finding("address", found, Verdict.WORSE, "connect this host to a network: no other can reach it")
    return Finding("address", found, Verdict.OK, "behind a firewall: open both ports to partners")


def _ports(home: Home, listen: str) -> str:
    """That of the links, and that of the copies."""
    chosen = [path.read_text().strip() for path in (home.path / "port", home.path / "carrier.port") if path.is_file()]
    if len(chosen) == 2:
        return f"ports {' and '.join(chosen)}"
    _, _, port = listen.rpartition(":")
    return f"port {port}, and one for copies" if port.isdecimal() else "two ports that are chosen once and kept"


def _lease_store(home: Home) -> Finding:
    """Ask it once, as a keeper would."""
    from goldthread.leases.opening import open_store

    try:
        address, policy = load_settings(home.path).lease_store, load(home.path)
        if not address:
            advice = "name one (lease_store in [keeper]), and a lost host is taken over by itself"
            return Finding("lease store", "none: a person decides when a partner is lost", Verdict.OK, advice)
        store = open_store(address, policy.lease_answer / 1e9)
    except UsageError as error:
        return Finding("lease store", str(error), Verdict.WORSE, error.hint)
    began = time.monotonic()
    try:
        store.read(MemberName("goldthread-doctor"))
    except GoldthreadError as error:
        return Finding("lease store", f"{address}: {error}", Verdict.WORSE, error.hint or "start it, or let it through")
    finally:
        store.close()
    return Finding("lease store", f"{address} answers within {lasting(seconds(time.monotonic() - began))}")


def _lines(path: str) -> list[str]:
    """The lines of a file of the kernel; none where it is not there."""
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []


def _existing(path: Path) -> Path:
    """The path, or the nearest folder above it that is there."""
    return next((place for place in (path, *path.parents) if place.exists()), Path("/"))


def _file_system(path: Path) -> str:
    """The kind of file system that a path is on; empty where the kernel does not say."""
    device = path.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    kinds = [
        after.split()[0]
        for before, _, after in (line.partition(" - ") for line in _lines("/proc/self/mountinfo"))
        if before.split()[2] == wanted
    ]
    return kinds[-1] if kinds else ""

"""Real processes: their stacks, and how they are told from later ones with the same number."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from goldthread.keeper.stacks import Identity, boot_id, is_alive, is_stopped, process_identity, take_stacks
from goldthread.names import milliseconds, seconds

REGISTERED = """
import faulthandler, signal, sys, threading
waits = threading.Event()
def wait_for_a_sibling():
    waits.set()
    threading.Event().wait()
def wait_for_ever():
    waits.wait()
    print("up", flush=True)
    threading.Event().wait()
file = open(sys.argv[1], "a")
faulthandler.register(signal.SIGUSR2, file=file, all_threads=True)
threading.Thread(target=wait_for_a_sibling, daemon=True).start()
wait_for_ever()
"""

WAIT = "print('up', flush=True); import threading; threading.Event().wait()"

Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def stacks(tmp_path: Path) -> Path:
    return tmp_path / "the stacks"


@pytest.fixture
def start(stacks: Path) -> Iterator[Start]:
    """Start a program and wait until it says that it is up."""
    started = []

    def start(code: str) -> subprocess.Popen[str]:
        program = subprocess.Popen([sys.executable, "-c", code, stacks], stdout=subprocess.PIPE, text=True)
        started.append(program)
        assert program.stdout is not None
        assert program.stdout.readline() == "up\n"
        return program

    yield start
    for program in started:
        program.kill()
        program.communicate()


def stop(program: subprocess.Popen[str]) -> None:
    """Stop a program as a hang would, and wait until it is."""
    program.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WNOWAIT)


def test_a_program_that_waits_for_ever_tells_where(start: Start, stacks: Path) -> None:
    """The stacks of all threads."""
    text = take_stacks(start(REGISTERED).pid, stacks, seconds(20))
    assert "wait_for_ever" in text and "wait_for_a_sibling" in text


def test_a_stopped_program_is_woken_to_tell(start: Start, stacks: Path) -> None:
    """It handles the signal before anything else, and is stopped again."""
    program = start(REGISTERED)
    stop(program)
    assert is_stopped(program.pid)
    text = take_stacks(program.pid, stacks, seconds(20))
    assert "wait_for_ever" in text
    os.waitid(os.P_PID, program.pid, os.WSTOPPED | os.WNOWAIT)
    assert is_stopped(program.pid)


def test_only_what_is_new_is_returned(start: Start, stacks: Path) -> None:
    """The file may hold stacks from before."""
    program = start(REGISTERED)
    first = take_stacks(program.pid, stacks, seconds(20))
    second = take_stacks(program.pid, stacks, seconds(20))
    assert second.count("wait_for_ever") == first.count("wait_for_ever") == 1
    assert stacks.read_text().count("wait_for_ever") == 2


def test_a_program_that_did_not_register_is_left_alone(start: Start, stacks: Path) -> None:
    """The signal would end it."""
    program = start(WAIT)
    assert take_stacks(program.pid, stacks) == ""
    assert program.poll() is None


def test_a_handler_that_writes_nothing_is_not_waited_for_long(start: Start, stacks: Path) -> None:
    """The wait is bounded."""
    silent = "import signal; signal.signal(signal.SIGUSR2, lambda *_: None)"
    assert take_stacks(start(f"{silent}; {WAIT}").pid, stacks, milliseconds(300)) == ""


def test_a_program_that_is_gone_tells_nothing(start: Start, stacks: Path) -> None:
    """Before its end was collected, and after."""
    program = start("print('up', flush=True)")
    os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
    assert take_stacks(program.pid, stacks) == ""
    program.wait()
    assert take_stacks(program.pid, stacks) == ""


def test_a_process_is_known_again(start: Start) -> None:
    """By its number and its start; not once it has ended, though nobody collected it."""
    program = start(WAIT)
    identity = process_identity(program.pid)
    assert identity is not None
    assert is_alive(identity)
    assert not is_alive(Identity(identity.pid, identity.start_ticks - 1))
    program.kill()
    os.waitid(os.P_PID, program.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(identity)
    program.wait()
    assert process_identity(program.pid) is None


def test_a_name_with_a_parenthesis_is_read_past(start: Start) -> None:
    """The kernel puts the name of the program before the numbers, as it is."""
    program = start(f"open('/proc/self/comm', 'w').write('a) Z 1 ('); {WAIT}")
    assert process_identity(program.pid) is not None


def test_a_boot_has_a_name() -> None:
    """The same for all who ask."""
    assert boot_id() == boot_id() != ""

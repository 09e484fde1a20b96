"""`goldthread check` finds whether a program goes on exactly, and why not; `export` writes what others can read.

How it judges what the runs left behind is tested in `test_causes.py`.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file
from shell import Shell

PROGRAM = """
import goldthread, numpy as np
draw = np.random.default_rng({seed})
with goldthread.join("walk") as life:
    state = life.restore({{"step": 0, "x": np.zeros(4){more}}})
    {back}
    while state["step"] < 100:
        state["x"] += draw.normal(size=4)
        state["step"] += 1
        life.commit(state)
"""
EXACT = PROGRAM.format(seed=1, more=', "draw": draw', back='draw = state["draw"]')
CHANCY = PROGRAM.format(seed="", more="", back="pass")

CLOCK = """
import time, goldthread, numpy as np
draw = np.random.default_rng(1)
with goldthread.join("walk") as life:
    state = life.restore({"step": 0, "t": 0.0, "text": "", "x": np.float64(0)})
    while state["step"] < 100:
        state["x"] += draw.normal()
        state["text"] = "model v1 " * 20 + str(state["x"])
        state["t"] = time.time()
        state["step"] += 1
        life.commit(state)
"""

UNFILLED_AND_HASHED = """
import goldthread, numpy as np
with goldthread.join("walk") as life:
    state = life.restore({"step": 0, "buffer": np.empty(3000), "last": "", "x": 0})
    while state["step"] < 100:
        state["buffer"][:10] = 1
        for word in {"alder", "birch", "cedar", "elder", "hazel", "maple", "poplar", "rowan"}:
            state["last"] = state["last"][-40:] + word
        state["x"] += state["step"]
        state["step"] += 1
        life.commit(state)
"""

BEGUN_ANEW = """
import goldthread
def batches():
    while True:
        yield from map(float, range(7))
def train():
    with goldthread.join("walk") as life:
        state = life.restore({"step": 0, "x": 0.0})
        for batch in batches():
            life.note(batch)
            state["x"] += batch * state["step"]
            state["step"] += 1
            life.commit(state)
            if state["step"] == 100:
                break
train()
"""

OBVIOUS_EPOCH = """
import goldthread, numpy as np
np.random.seed(3)
data = np.arange(9.0)
with goldthread.join("walk") as life:
    state = life.restore({"step": 0, "epoch": 0, "done": 0, "x": 1.0})
    while state["epoch"] < 9:
        for batch in data[np.random.permutation(9)][state["done"]:]:
            life.note(batch)
            state["x"] = state["x"] * 0.9 + batch
            state["step"] += 1
            state["done"] += 1
            life.commit(state)
        state["epoch"] += 1
        state["done"] = 0
"""

PICKLED = """
import goldthread
class Mean:
    def __init__(self):
        self.total, self.name, self.history = 0.0, "mean " + str(0), []
    def add(self, number):
        self.total += number
        self.history.append(self.name)
with goldthread.join("walk", pickle=True) as life:
    state = life.restore({"step": 0, "mean": Mean()})
    while state["step"] < 100:
        state["mean"].add(state["step"])
        state["step"] += 1
        life.commit(state)
"""


def verdict_of(shell: Shell, program: str, *options: str) -> dict[str, Any]:
    done = shell("check", "--json", *options, "--", *shell.write("walk.py", program))
    assert done.returncode in (0, 1), done.stderr
    verdict: dict[str, Any] = msgspec.json.decode(done.stdout)
    assert done.returncode == (0 if verdict["bit_identical"] else 1)
    return verdict


def test_a_program_with_all_in_its_state_goes_on_exactly(shell: Shell) -> None:
    """It is killed in the middle, and again right after the first commit of its second life."""
    done = shell("check", "--steps", "8", "--", *shell.write("walk.py", EXACT))
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        "bit-identical: yes  killed at steps 4 and 5, restored, compared at step 8\n"
        "looked at 8 commits, and saw no epochs: what is done only at the end of one was perhaps not reached\n"
    )


def test_it_is_killed_as_often_and_where_its_user_says(shell: Shell) -> None:
    """With `--at` it is compared at twice that step; deaths beyond the second are spread over the rest."""
    verdict = verdict_of(shell, EXACT, "--at", "3", "--steps", "9", "--kills", "3")
    assert verdict["bit_identical"] is True
    assert verdict["killed_at"][:2] == [3, 4]
    assert len(verdict["killed_at"]) == 3
    refused = shell("check", "--at", "9", "--steps", "9", "--", *shell.write("walk.py", EXACT))
    assert refused.returncode == 2
    assert "--at 9 is not before step 9" in refused.stderr


def test_a_time_is_set_aside_and_hides_no_generator_that_is_missing(shell: Shell) -> None:
    """One leaf differs in every run, another only after a death; the third is a long text, of which one sees where."""
    verdict = verdict_of(shell, CLOCK, "--steps", "4")
    assert [(aside["place"], aside["kind"]) for aside in verdict["set_aside"]] == [('state["t"]', "time")]
    assert [difference.partition(":")[0] for difference in verdict["differences"]] == ['state["text"]', 'state["x"]']
    assert "b'" not in verdict["differences"][1]
    assert "from sign 180 on" in verdict["differences"][0]
    assert verdict["deterministic"] is True
    assert verdict["first_step"] == 3
    assert verdict["causes"][0]["kind"] == "generator outside the state"
    assert verdict["likely_cause"].startswith("draw (numpy Generator) is outside the state")
    assert [(one["name"], one["differs"]) for one in verdict["outside"]] == [("draw", True)]


def test_only_a_time_differs(shell: Shell) -> None:
    """That is no fault, and is said."""
    seeded = CLOCK.replace('"t": 0.0', '"t": 0.0, "draw": draw')
    done = shell("check", "--steps", "4", "--", *shell.write("walk.py", seeded))
    assert done.returncode == 0, done.stdout
    assert 'set aside: state["t"]: ' in done.stdout


def test_a_program_that_is_not_deterministic_is_told_so(shell: Shell) -> None:
    """The evidence is that two undisturbed runs differ."""
    verdict = verdict_of(shell, CHANCY, "--steps", "4")
    assert verdict["bit_identical"] is False
    assert verdict["differences"][0].startswith('state["x"]')
    assert verdict["deterministic"] is False
    assert "the program is not deterministic" in verdict["likely_cause"]
    assert "draw (numpy Generator) ends otherwise in each run" in verdict["likely_cause"]


def test_memory_that_was_never_filled_and_the_order_of_hashes_are_told_apart(shell: Shell) -> None:
    """Both differ in every run, but only where memory or hashes do."""
    verdict = verdict_of(shell, UNFILLED_AND_HASHED, "--steps", "4")
    kinds = {aside["place"]: aside["kind"] for aside in verdict["set_aside"]}
    assert kinds == {'state["buffer"]': "uninitialised memory", 'state["last"]': "hash order"}
    assert [cause["kind"] for cause in verdict["causes"]] == ["uninitialised memory", "hash order"]
    assert verdict["bit_identical"] is False


def test_an_iterator_that_began_anew_is_seen_in_what_was_noted(shell: Shell) -> None:
    """Step 3 consumed what step 1 did; the loop that does so is found though it has no name."""
    verdict = verdict_of(shell, BEGUN_ANEW, "--steps", "6")
    assert verdict["causes"][0]["kind"] == "iterator begun anew"
    assert (verdict["data"]["first_other"], verdict["data"]["same_as"]) == (4, 1)
    assert verdict["data"]["began_anew"] is True
    assert "a loop over batches()" in {one["name"] for one in verdict["outside"]}


def test_draws_between_restore_and_the_first_commit_are_seen(shell: Shell) -> None:
    """The obvious way of writing a resumed epoch is not exact. It is run beyond the ends of two epochs, and killed
    between them."""
    verdict = verdict_of(shell, OBVIOUS_EPOCH, "--steps", "4")
    assert verdict["causes"][0]["kind"] == "global generators drawn from anew"
    assert verdict["causes"][0]["text"].startswith("numpy's global generator")
    assert verdict["steps"] == 16
    assert verdict["epoch_ends"] == 1
    assert verdict["data"]["first_other"] == verdict["killed_at"][0] + 1


def test_a_pickle_of_the_same_is_the_same(shell: Shell) -> None:
    """The pickle of what was unpickled is another one; what both come to is compared."""
    assert verdict_of(shell, PICKLED, "--steps", "4")["differences"] == []


def test_a_service_that_makes_no_commit_is_not_waited_for_in_vain(shell: Shell) -> None:
    """It is said how far it came."""
    program = PROGRAM.format(seed=1, more="", back="import time; time.sleep(3600)")
    done = shell("check", "--within", "1s", "--", *shell.write("walk.py", program))
    assert done.returncode == 2
    assert "the program made no commit within 1.0 s" in done.stderr
    idle = EXACT.replace("life.commit(state)", "life.commit(state); import time; time.sleep(state['step'] // 3 * 3600)")
    done = shell("check", "--within", "3s", "--", *shell.write("walk.py", idle))
    assert done.returncode == 2
    assert "no commit within 3.0 s after step 3" in done.stderr
    assert "--steps 3 compares there" in done.stderr


def test_a_program_that_commits_in_a_thread_is_ended(shell: Shell) -> None:
    """No exception of a thread ends a program."""
    program = """
import goldthread, threading
life = goldthread.join("walk")
state = life.restore({"step": 0})
def work():
    while True:
        state["step"] += 1
        life.commit(state)
threading.Thread(target=work).start()
threading.Event().wait()
"""
    assert verdict_of(shell, program, "--steps", "4")["bit_identical"] is True


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("print('no member')", "the program ended without a commit"),
        ("raise ValueError('x is negative')", "ValueError: x is negative"),
        (EXACT.replace("walk", "stroll"), "walk ended without a commit: the program joins as stroll"),
    ],
)
def test_a_program_that_cannot_be_compared_is_refused(shell: Shell, program: str, error: str) -> None:
    done = shell("check", "--steps", "4", "--", *shell.write("walk.py", program))
    assert done.returncode == 2
    assert error in done.stderr


def test_an_export_is_read_without_goldthread(shell: Shell) -> None:
    shell("run", "--", *shell.write("walk.py", EXACT))
    done = shell("export", "walk", "walk.safetensors")
    assert done.returncode == 0, done.stderr
    assert "step 100 of life 1" in done.stdout
    arrays = load_file(shell.folder / "walk.safetensors")
    assert [array.shape for array in arrays.values() if array.dtype == np.float64] == [(4,)]
    assert msgspec.json.decode((shell.folder / "walk.json").read_bytes())["step"] == 100

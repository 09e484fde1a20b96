"""Learn vectors for words from Python's own manual (skip-grams with negative samples), and never lose a step.

Each step touches some hundred rows of two tables of 16 MiB.
"""

import argparse
import re
import zlib
from pydoc_data.topics import topics

import numpy as np

import goldthread

ROWS, SIZE = 1 << 16, 64
WINDOW, NEGATIVES, PAIRS, RATE = 5, 5, 64, 0.1

options = argparse.ArgumentParser()
options.add_argument("--steps", type=int, default=20_000)
options.add_argument("--seed", type=int, default=1)
asked = options.parse_args()

words = re.findall(r"[a-z]{3,}", " ".join(topics[name] for name in sorted(topics)).lower())
rows = np.array([zlib.crc32(word.encode()) % ROWS for word in words])


def learn(state):
    """One step of gradient descent; the mean logistic loss before it."""
    draw, into, out = state["draw"], state["into"], state["out"]
    at = draw.integers(WINDOW, len(rows) - WINDOW, PAIRS)
    beside = at + draw.choice([*range(-WINDOW, 0), *range(1, WINDOW + 1)], PAIRS)
    others = draw.integers(0, len(rows), (PAIRS, NEGATIVES))
    centre, around = rows[at], rows[np.column_stack([beside, others])]
    wanted = np.zeros((PAIRS, 1 + NEGATIVES), np.float32)
    wanted[:, 0] = 1
    scores = np.einsum("ps,pks->pk", into[centre], out[around])
    slope = 1 / (1 + np.exp(-scores)) - wanted
    to_centre, to_around = np.einsum("pk,pks->ps", slope, out[around]), slope[:, :, None] * into[centre][:, None]
    np.subtract.at(into, centre, RATE * to_centre)
    np.subtract.at(out, around, RATE * to_around)
    return float(np.logaddexp(0, np.where(wanted, -scores, scores)).mean())


with goldthread.join("vectors") as life:
    draw = np.random.default_rng(asked.seed)
    into = draw.normal(0, 0.1, (ROWS, SIZE)).astype(np.float32)
    state = life.restore({"step": 0, "loss": 0.7, "into": into, "out": np.zeros_like(into), "draw": draw})
    while state["step"] < asked.steps:
        state["loss"] += 0.01 * (learn(state) - state["loss"])
        state["step"] += 1
        life.commit(state)
        if state["step"] % 100 == 0:
            print(f"step {state['step']:6}  loss {state['loss']:.4f}", flush=True)
    print("sum", float(np.abs(state["into"]).sum(dtype=np.float64)))

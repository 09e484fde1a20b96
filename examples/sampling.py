"""Sample a posterior with a random-walk Metropolis chain in NumPy, and never lose a draw.

The model: breast tumours from scikit-learn, a logistic regression on ten measurements, a normal prior. The chain, the
place where it stands, the size of its steps and its generator are the state.
"""

import argparse

import numpy as np
from sklearn.datasets import load_breast_cancer

import goldthread

MEASURES = 10

options = argparse.ArgumentParser()
options.add_argument("--draws", type=int, default=20_000)
options.add_argument("--seed", type=int, default=1)
asked = options.parse_args()

table, benign = load_breast_cancer(return_X_y=True)
x = table[:, :MEASURES]
x = (x - x.mean(axis=0)) / x.std(axis=0)


def log_posterior(weights):
    """Up to a constant; `weights` has one entry for each measurement."""
    scores = x @ weights
    return np.sum(benign * scores - np.logaddexp(0.0, scores)) - 0.5 * np.sum(weights**2)


with goldthread.join("sampling") as life:
    state = life.restore(
        {
            "drawn": 0,
            "accepted": 0,
            "width": 0.1,
            "weights": np.zeros(MEASURES),
            "chain": np.zeros((asked.draws, MEASURES)),
            "draw": np.random.default_rng(asked.seed),
        }
    )
    draw, density = state["draw"], log_posterior(state["weights"])
    while state["drawn"] < asked.draws:
        proposal = state["weights"] + state["width"] * draw.normal(size=MEASURES)
        proposed = log_posterior(proposal)
        if np.log(draw.random()) < proposed - density:
            state["weights"], density = proposal, proposed
            state["accepted"] += 1
        state["chain"][state["drawn"]] = state["weights"]
        state["drawn"] += 1
        life.commit(state, step=state["drawn"])
        if state["drawn"] % 2_000 == 0:
            share = state["accepted"] / state["drawn"]
            print(f"draw {state['drawn']:6}  accepted {share:.1%}", flush=True)
    kept = state["chain"][asked.draws // 5 :]
    print("means", " ".join(f"{mean:.3f}" for mean in kept.mean(axis=0)))

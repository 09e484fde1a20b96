"""Train a two-layer network in plain NumPy on scikit-learn's handwritten digits, and keep every single step.

Kill it however you like and start it again: it goes on where it was and ends with the same weights to the bit, since
all that decides the next step is in the state: weights, velocity, step, and the generator that draws mini-batches.
"""

import argparse
import hashlib

import numpy as np
from sklearn.datasets import load_digits

import goldthread

TRAIN, HIDDEN, BATCH, RATE, MOMENTUM = 1400, 768, 768, 0.02, 0.9

options = argparse.ArgumentParser()
options.add_argument("--steps", type=int, default=1200)
options.add_argument("--seed", type=int, default=1)
asked = options.parse_args()

images, labels = load_digits(return_X_y=True)
images /= 16.0  # the first TRAIN are for training, the rest for testing


def slopes(weights, x, y):
    """The gradient of the mean cross-entropy of one mini-batch: images `x`, labels `y`."""
    hidden = np.maximum(x @ weights["in"], 0.0)
    scores = hidden @ weights["out"]
    error = np.exp(scores - scores.max(axis=1, keepdims=True))
    error /= error.sum(axis=1, keepdims=True)
    error[np.arange(len(y)), y] -= 1.0
    error /= len(y)
    return {"in": x.T @ ((error @ weights["out"].T) * (hidden > 0.0)), "out": hidden.T @ error}


def accuracy(weights):
    scores = np.maximum(images[TRAIN:] @ weights["in"], 0.0) @ weights["out"]
    return np.mean(scores.argmax(axis=1) == labels[TRAIN:])


with goldthread.join("digits") as life:
    draw = np.random.default_rng(asked.seed)
    weights = {"in": draw.normal(0, 0.05, (64, HIDDEN)), "out": draw.normal(0, 0.05, (HIDDEN, 10))}
    velocity = {name: np.zeros_like(array) for name, array in weights.items()}
    state = life.restore({"step": 0, "weights": weights, "velocity": velocity, "draw": draw})
    weights, velocity, draw = state["weights"], state["velocity"], state["draw"]
    while state["step"] < asked.steps:
        chosen = draw.integers(0, TRAIN, BATCH)
        noisy = images[chosen] + draw.normal(0, 0.1, (BATCH, 64))
        for name, slope in slopes(weights, noisy, labels[chosen]).items():
            velocity[name] = MOMENTUM * velocity[name] - RATE * slope
            weights[name] += velocity[name]
        state["step"] += 1
        life.commit(state)
        if state["step"] % 100 == 0:
            print(f"step {state['step']:5}  accuracy {accuracy(weights):.1%}", flush=True)
    digest = hashlib.sha256(weights["in"].tobytes() + weights["out"].tobytes()).hexdigest()
    print(f"done: step {state['step']}, accuracy {accuracy(weights):.1%}, weights {digest[:16]}")

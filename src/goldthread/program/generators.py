"""The states of the global generators, which travel beside the state so that going on is exact."""

from __future__ import annotations

import array
import random
import sys
from typing import Any

import numpy as np

__all__ = ["capture_generators", "put_back_generators"]


def capture_generators() -> dict[str, Any]:
    """The states of `random`, of NumPy's global generator, and of torch's on the CPU and every CUDA device in use."""
    version, words, gauss = random.getstate()
    states: dict[str, Any] = {
        "random": (version, array.array("I", words).tobytes(), gauss),
        "numpy": np.random.get_state(legacy=False),
    }
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_rng_state"):
        states["torch"] = torch.get_rng_state()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def put_back_generators(states: dict[str, Any]) -> None:
    """Set the global generators to what `capture_generators` gave. Those of packages not loaded are left out."""
    version, words, gauss = states["random"]
    random.setstate((version, tuple(array.array("I", words)), gauss))
    np.random.set_state(states["numpy"])
    torch = sys.modules.get("torch")
    if torch is not None and "torch" in states:
        torch.set_rng_state(states["torch"])
        if "cuda" in states and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(states["cuda"][: torch.cuda.device_count()])

"""Train a small transformer in torch to write like this project's own documentation, one character after the other.

Model and optimizer go into the state as they are; torch's global generator travels with every commit by itself.
"""

import argparse
from pathlib import Path

import torch
from torch import nn

import goldthread

CONTEXT, WIDTH, BATCH = 64, 96, 16

options = argparse.ArgumentParser()
options.add_argument("--steps", type=int, default=400)
options.add_argument("--seed", type=int, default=1)
asked = options.parse_args()

project = Path(__file__).resolve().parent.parent
pages = sorted([project / "README.md", *(project / "docs").rglob("*.md")])
text = "\n".join(page.read_text() for page in pages)
signs = sorted(set(text))
data = torch.tensor([signs.index(sign) for sign in text])


class Writer(nn.Module):
    def __init__(self):
        super().__init__()
        self.sign, self.place = nn.Embedding(len(signs), WIDTH), nn.Embedding(CONTEXT, WIDTH)
        layer = nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, dropout=0.1, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.score = nn.Linear(WIDTH, len(signs))

    def forward(self, window):
        length = window.shape[1]
        hidden = self.sign(window) + self.place(torch.arange(length))
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        return self.score(self.layers(hidden, mask, is_causal=True))


with goldthread.join("torch-char") as life:
    torch.manual_seed(asked.seed)
    model = Writer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    state = life.restore({"model": model, "optimizer": optimizer, "step": 0})
    while state["step"] < asked.steps:
        starts = torch.randint(len(data) - CONTEXT - 1, (BATCH,)).tolist()
        windows = torch.stack([data[start : start + CONTEXT + 1] for start in starts])
        scores = model(windows[:, :-1])
        loss = nn.functional.cross_entropy(scores.flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        state["step"] += 1
        life.commit(state)
        if state["step"] % 50 == 0:
            print(f"step {state['step']:5}  loss {loss.item():.6f}", flush=True)

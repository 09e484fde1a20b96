"""torch.distributed: each process commits and restores what of a tensor is its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.torch

PROGRAM = """
import sys

import torch
import torch.distributed as distributed
from images import image_of
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

from goldthread.state.restore import pour, read

torch.set_num_threads(1)
distributed.init_process_group("gloo", init_method=sys.argv[1], rank=int(sys.argv[2]), world_size=int(sys.argv[3]))
rank, world = distributed.get_rank(), distributed.get_world_size()
mesh = init_device_mesh("cpu", (world,), mesh_dim_names=("all",))


def fresh():
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(5, 7), nn.Linear(7, 3))
    for part in (*net, net):
        fully_shard(part, mesh=mesh)
    return {"net": net, "optimizer": torch.optim.AdamW(net.parameters(), lr=0.1)}


def train(state):
    for step in range(2):
        state["net"](torch.full((2, 5), float(rank + step))).pow(2).mean().backward()
        state["optimizer"].step()
        state["optimizer"].zero_grad()
    return [one.full_tensor().clone() for one in state["net"].parameters()]


state = fresh()
train(state)
state["shard"] = distribute_tensor(torch.arange(10.0), mesh, [Shard(0)])
state["whole"] = distribute_tensor(torch.arange(3.0), mesh, [Replicate()])
image = image_of(state)
expected = train(state)
again = pour(image, {**fresh(), "shard": None, "whole": None}, map=False, pickle=False)
assert again[1:] == ((), (), (), ()), again[1:]
assert all(map(torch.equal, expected, train(again.state)))
for name, placed in (("shard", Shard(0)), ("whole", Replicate())):
    back = again.state[name]
    assert type(back) is DTensor and back.placements == (placed,) and back.device_mesh == mesh
    assert torch.equal(back.full_tensor(), state[name].full_tensor())
distributed.destroy_process_group()
print("went on")
"""


@pytest.mark.parametrize("world", [1, 2])
def test_shards_come_back_to_the_processes_that_have_them(world: int, tmp_path: Path) -> None:
    """A sharded module and its optimizer go on to the bit, in one process and in two over loopback."""
    pytest.importorskip("torch", reason="install torch, or run make test-torch")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent), "GLOO_SOCKET_IFNAME": "lo"}
    programs = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, f"file://{tmp_path}/meeting", str(rank), str(world)],
            env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in range(world)
    ]  # fmt: skip
    try:
        told = [program.communicate(timeout=300) for program in programs]
    finally:
        for program in programs:
            program.kill()
    assert [told_out for told_out, _ in told] == ["went on\n"] * world, told

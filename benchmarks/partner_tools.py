"""The tools that `partners.py` measures: each brings a state to a second process, and gets it back from there.

Both processes are on this machine, and what goes between them goes through loopback. A tool has two ends: the program,
which has the state, and its partner. The program says `save` and `fetch`; where a tool needs its partner to take part,
the partner does the same things in the same order.
"""

from __future__ import annotations

import os
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from peer_tools import Arrays, as_tensors

__all__ = ["TOOLS", "End"]

PATIENCE = timedelta(minutes=2)
LOOK_SECONDS = 0.0002


class End(Protocol):
    """What an end of a tool does, opened on a folder that both ends know."""

    keeps: bool
    """Whether the partner has the state because it was saved."""

    @staticmethod
    def partner_state(arrays: Arrays) -> Arrays | None:
        """What the partner's end has of its own, where this is the program's; None: it needs no end there."""

    def save(self, step: int, arrays: Arrays) -> None:
        """Returns when the program may change its arrays again."""

    def wait_elsewhere(self) -> None:
        """Returns when the tool says that the partner has the newest save."""

    def save_elsewhere(self, step: int, arrays: Arrays) -> None:
        """Returns when the tool says that the partner has this save."""

    def lose(self) -> None:
        """The program's host is lost, with all that the tool kept there."""

    def fetch(self, like: Arrays) -> tuple[int, Arrays]:
        """The newest save, from the partner. `like` has the shapes, for tools that fill arrays that are there."""

    def close(self) -> None: ...


class Goldthread:
    """Two keepers that are bonded, with mutual TLS between them. What was held is fetched into a new slot, checked,
    and poured into the arrays that the program has."""

    keeps = True

    def __init__(self, folder: Path, *, is_partner: bool) -> None:
        import bond

        from goldthread import join
        from goldthread.local import Home

        self.bond = bond
        self.homes = [Home(folder / "iruka"), Home(folder / "kakashi")]
        code = bond.told(self.homes[0], "bond", "invite").split()[-1]
        bond.told(self.homes[1], "bond", "accept", code)
        os.environ["GOLDTHREAD_HOME"] = str(self.homes[0].path)
        self.life = join(bond.MEMBER, generators=False)
        self.life.restore({})
        self.step = 0

    @staticmethod
    def partner_state(arrays: Arrays) -> Arrays | None:
        return None

    def save(self, step: int, arrays: Arrays) -> None:
        self.step = step
        self.life.commit({"step": step, "arrays": arrays}, step=step)

    def wait_elsewhere(self) -> None:
        while self.life.safe.held != self.step:
            time.sleep(LOOK_SECONDS)

    def save_elsewhere(self, step: int, arrays: Arrays) -> None:
        self.step = step
        self.life.commit({"step": step, "arrays": arrays}, step=step, wait="held")

    def lose(self) -> None:
        """Nothing of the host's own copies is looked at by `fetch`; what it needs is known to each keeper."""
        from goldthread.keeper.keys import Keys

        with self.bond.connect(self.homes[0], "command") as channel:
            self.newest = channel.ask(self.bond.ReportRequest())[0].report.members[0].sealed.commit
        (self.partner,) = Keys(self.homes[0]).partners()
        self.address = f"127.0.0.1:{(self.homes[1].path / 'carrier.port').read_text().strip()}"

    def fetch(self, like: Arrays) -> tuple[int, Arrays]:
        state: dict[str, Any] = {"step": 0, "arrays": like}
        slot = self.bond.make_slot("bench", sum(array.nbytes for array in like.values()) + (16 << 20))
        self.bond.pull(self.homes[0], self.partner, self.address, self.newest, slot, state)
        os.close(slot)
        return state["step"], state["arrays"]

    def close(self) -> None:
        self.life.__exit__(None, None, None)
        for home in self.homes:
            self.bond.told(home, "keeper", "stop", "--stop-members")


class Nvrx:
    """NVIDIA's resiliency extension: `LocalCheckpointManager` with `CliqueReplicationStrategy` over two ranks, over
    gloo. It saves to a folder in shared memory, at both ranks, before `save` returns.

    It is made for CUDA. Two parts stand in for what needs it, in `nvrx_on_hosts.py`: a state that may
    lie in the memory of the host, and a send and a receive that do not go by way of the accelerator. The partner's
    own state is one number, so that only one state travels, as with the other tools.
    """

    keeps = True

    def __init__(self, folder: Path, *, is_partner: bool) -> None:
        import torch.distributed as dist

        self.rank = int(is_partner)
        self.folder = folder
        self.store = dist.FileStore(str(folder / "rendezvous"), 2)
        dist.init_process_group("gloo", store=self.store, rank=self.rank, world_size=2, timeout=PATIENCE)
        self.dist = dist
        self.manager = self.open()

    @staticmethod
    def partner_state(arrays: Arrays) -> Arrays | None:
        return {"number": np.zeros(1, np.float32)}

    def open(self) -> Any:
        from nvidia_resiliency_ext.checkpointing.local.ckpt_managers.local_manager import LocalCheckpointManager
        from nvidia_resiliency_ext.checkpointing.local.replication.strategies import CliqueReplicationStrategy
        from nvrx_on_hosts import HostGroup

        clique = CliqueReplicationStrategy(HostGroup(self.dist.group.WORLD), target_device="cpu")
        return LocalCheckpointManager(self.folder, repl_strategy=clique)

    def save(self, step: int, arrays: Arrays) -> None:
        from nvrx_on_hosts import HostState

        self.dist.barrier()
        self.manager.save(HostState({"step": step, "arrays": as_tensors(arrays)}), iteration=step, is_async=False)

    def wait_elsewhere(self) -> None:
        pass

    def save_elsewhere(self, step: int, arrays: Arrays) -> None:
        self.save(step, arrays)

    def lose(self) -> None:
        if self.rank == 0:
            shutil.rmtree(self.folder / "0")
        self.manager = self.open()
        self.dist.barrier()

    def fetch(self, like: Arrays) -> tuple[int, Arrays]:
        self.manager.find_latest()
        state, _ = self.manager.load()
        saved = state.state_dict
        return saved["step"], {name: tensor.numpy() for name, tensor in saved["arrays"].items()}

    def close(self) -> None:
        self.dist.destroy_process_group()


class Torchft:
    """torchft's `HTTPTransport`, by which a replica that comes back pulls the state of one that lives. Nothing is
    saved; the partner is a replica, and has the state because it made the same steps."""

    keeps = False

    def __init__(self, folder: Path, *, is_partner: bool) -> None:
        from torchft.checkpointing.http_transport import HTTPTransport

        self.address = folder / "address"
        self.is_partner = is_partner
        self.transport = HTTPTransport(PATIENCE, num_chunks=0)
        self.step = 0

    @staticmethod
    def partner_state(arrays: Arrays) -> Arrays | None:
        return arrays

    def save(self, step: int, arrays: Arrays) -> None:
        self.step, self.arrays = step, arrays

    def wait_elsewhere(self) -> None:
        pass

    def save_elsewhere(self, step: int, arrays: Arrays) -> None:
        self.save(step, arrays)

    def lose(self) -> None:
        """The partner offers its state; the program learns where."""
        if self.is_partner and not self.address.exists():
            self.transport.send_checkpoint([0], self.step, self.state(), PATIENCE)
            port = self.transport.metadata().rsplit(":", 1)[1]
            unfinished = self.address.with_suffix(".unfinished")
            unfinished.write_text(f"http://localhost:{port}")
            unfinished.replace(self.address)
        while not self.address.exists():
            time.sleep(LOOK_SECONDS)

    def state(self) -> dict[str, Any]:
        return {"step": self.step, "arrays": as_tensors(self.arrays)}

    def fetch(self, like: Arrays) -> tuple[int, Arrays]:
        if self.is_partner:
            return self.step, self.arrays
        saved = self.transport.recv_checkpoint(1, self.address.read_text(), self.step, PATIENCE)
        return saved["step"], {name: tensor.numpy() for name, tensor in saved["arrays"].items()}

    def close(self) -> None:
        self.transport.shutdown()


TOOLS: dict[str, type[End]] = {"goldthread": Goldthread, "NVRx local, two ranks": Nvrx, "torchft HTTP": Torchft}

"""The tools that `peers.py` measures, each set up as its own documentation advises for a loop that saves often.

A tool saves a dict of NumPy arrays (torch: tensors over the same memory) and a step. `save` returns when the program
may change its arrays again; `wait_safe` returns when the tool says that a kill can no longer take the save away;
`load` gives back the newest save. Files are written under another name and renamed, so that a kill in the middle
never leaves a torn file in place of a good one, and all but the newest two are removed, since a loop cannot keep all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

__all__ = ["TOOLS", "Arrays", "Tool"]

Arrays = dict[str, np.ndarray]
KEPT = 2


class Tool(Protocol):
    """One way to save, opened on a folder of its own."""

    def save(self, step: int, arrays: Arrays) -> None: ...

    def wait_safe(self) -> None: ...

    def load(self, like: Arrays) -> tuple[int, Arrays]:
        """The newest save. `like` has the shapes, for tools that load into arrays that are there already."""

    def close(self) -> None: ...


class File:
    """Whatever writes one file per save; safe when `save` returns."""

    library: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.its = import_module(self.library)

    def write(self, path: Path, step: int, arrays: Arrays) -> None:
        raise NotImplementedError

    def read(self, path: Path) -> tuple[int, Arrays]:
        raise NotImplementedError

    def save(self, step: int, arrays: Arrays) -> None:
        target = self.folder / f"step-{step:08}"
        unfinished = target.with_suffix(".unfinished")
        self.write(unfinished, step, arrays)
        unfinished.replace(target)
        for old in sorted(self.folder.glob("step-*"))[:-KEPT]:
            old.unlink()

    def wait_safe(self) -> None:
        pass

    def load(self, like: Arrays) -> tuple[int, Arrays]:
        return self.read(max(path for path in self.folder.glob("step-*") if not path.suffix))

    def close(self) -> None:
        pass


class Pickle(File):
    library = "pickle"

    def write(self, path: Path, step: int, arrays: Arrays) -> None:
        with path.open("wb") as file:
            self.its.dump((step, arrays), file, protocol=5)

    def read(self, path: Path) -> tuple[int, Arrays]:
        with path.open("rb") as file:
            return self.its.load(file)


class Joblib(File):
    library = "joblib"

    def write(self, path: Path, step: int, arrays: Arrays) -> None:
        self.its.dump((step, arrays), path)

    def read(self, path: Path) -> tuple[int, Arrays]:
        return self.its.load(path)


class Safetensors(File):
    library = "safetensors.numpy"

    def write(self, path: Path, step: int, arrays: Arrays) -> None:
        self.its.save_file({"step": np.array(step), **arrays}, path)

    def read(self, path: Path) -> tuple[int, Arrays]:
        saved = self.its.load_file(path)
        return int(saved.pop("step")), saved


class TorchSave(File):
    library = "torch"

    def write(self, path: Path, step: int, arrays: Arrays) -> None:
        self.its.save({"step": step, "arrays": as_tensors(arrays)}, path)

    def read(self, path: Path) -> tuple[int, Arrays]:
        saved = self.its.load(path, weights_only=True)
        return saved["step"], {name: tensor.numpy() for name, tensor in saved["arrays"].items()}


class TorchDcp:
    """`torch.distributed.checkpoint.async_save` in one process, with one stager kept for all saves."""

    def __init__(self, folder: Path) -> None:
        import torch.distributed.checkpoint as dcp
        from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

        self.folder = folder
        self.dcp = dcp
        # Pinned memory and non-blocking copies need an accelerator; shared memory serves its process-based saver.
        self.stager = DefaultStager(StagingOptions(False, False, False, False))
        self.saving: Any = None

    def save(self, step: int, arrays: Arrays) -> None:
        self.wait_safe()
        self.saving = self.dcp.async_save(
            {"step": step, "arrays": as_tensors(arrays)},
            storage_writer=self.dcp.FileSystemWriter(self.folder / f"step-{step:08}"),
            async_stager=self.stager,
            no_dist=True,
        )
        self.saving.add_done_callback(lambda _: self.remove_old())

    def remove_old(self) -> None:
        for old in sorted(self.folder.glob("step-*"))[:-KEPT]:
            shutil.rmtree(old)

    def wait_safe(self) -> None:
        if self.saving is not None:
            self.saving.result()

    def load(self, like: Arrays) -> tuple[int, Arrays]:
        newest = max(path for path in self.folder.glob("step-*") if (path / ".metadata").exists())
        saved: dict[str, Any] = {"step": 0, "arrays": as_tensors(like)}
        self.dcp.load(saved, storage_reader=self.dcp.FileSystemReader(newest), no_dist=True)
        return saved["step"], like

    def close(self) -> None:
        self.wait_safe()
        self.stager.close()


class Orbax:
    """Orbax's `CheckpointManager`, which saves asynchronously of itself."""

    def __init__(self, folder: Path) -> None:
        import orbax.checkpoint as ocp

        self.args = ocp.args
        self.manager = ocp.CheckpointManager(folder, options=ocp.CheckpointManagerOptions(max_to_keep=KEPT))

    def save(self, step: int, arrays: Arrays) -> None:
        self.manager.save(step, args=self.args.StandardSave(arrays))

    def wait_safe(self) -> None:
        self.manager.wait_until_finished()

    def load(self, like: Arrays) -> tuple[int, Arrays]:
        step = self.manager.latest_step()
        return step, self.manager.restore(step, args=self.args.StandardRestore(like))

    def close(self) -> None:
        self.manager.close()


class Goldthread:
    """A life without `goldthread run`: its keeper is started by `join` and outlives the kill."""

    def __init__(self, folder: Path) -> None:
        from goldthread import join

        os.environ["GOLDTHREAD_HOME"] = str(folder)
        self.begin = join
        self.life: Any = None

    def join(self) -> Any:
        self.life = self.life or self.begin("peers", generators=False)
        return self.life

    def save(self, step: int, arrays: Arrays) -> None:
        self.join().commit({"step": step, "arrays": arrays})

    def wait_safe(self) -> None:
        pass

    def load(self, like: Arrays) -> tuple[int, Arrays]:
        state = self.join().restore()
        return state["step"], state["arrays"]

    def close(self) -> None:
        self.join().__exit__(None, None, None)


def as_tensors(arrays: Arrays) -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(array) for name, array in arrays.items()}


TOOLS: dict[str, Callable[[Path], Tool]] = {
    "goldthread": Goldthread,
    "pickle 5": Pickle,
    "joblib": Joblib,
    "safetensors": Safetensors,
    "torch.save": TorchSave,
    "torch DCP async": TorchDcp,
    "Orbax async": Orbax,
}

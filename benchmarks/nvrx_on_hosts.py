"""What stands in for CUDA, so that NVRx's local checkpointing runs in the memory of hosts alone.

NVRx's `BasicTensorAwareStateDict` refuses tensors that are not on an accelerator, and puts what it loads back there;
its `GroupWrapper` sends and receives by way of the accelerator when a lost copy is fetched. Nothing else of it is
replaced. It has a module of its own, since saved states name their class.
"""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
from nvidia_resiliency_ext.checkpointing.local.basic_state_dict import BasicTensorAwareStateDict
from nvidia_resiliency_ext.checkpointing.local.replication.group_utils import GroupWrapper

__all__ = ["HostGroup", "HostState"]


class HostState(BasicTensorAwareStateDict):
    """A state whose tensors lie in the memory of the host, before and after."""

    def __init__(self, state_dict: dict[str, Any]) -> None:
        self.state_dict = state_dict
        self._is_hollow = False

    def restore_tensor_device(self, non_blocking: bool = True) -> None:
        pass


class HostGroup(GroupWrapper):
    """Sends and receives from where the tensors lie."""

    def isend_state_dict(self, state_dict: Any, dst: int) -> dict[str, float]:
        tensors = state_dict.pop_tensors()
        self.send_object(state_dict, dst)
        for tensor in tensors:
            dist.send(tensor, dst, group=self.group)
        state_dict.insert_tensors(tensors)
        return {"data_sent": sum(tensor.nbytes for tensor in tensors)}

    def irecv_state_dict(self, src: int) -> tuple[Any, dict[str, float]]:
        state = self.recv_object(src)
        state.init_tensors()
        for tensor in state.tensors:
            dist.recv(tensor, src, group=self.group)
        return state, {"data_recv": sum(tensor.nbytes for tensor in state.tensors)}

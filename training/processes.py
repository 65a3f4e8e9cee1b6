"""Several processes that train one student: which one writes, and how they wait for one another."""

from __future__ import annotations

import os


def is_first() -> bool:
    """Whether this process is the one that logs and writes; it is when it trains alone."""
    return int(os.environ.get("RANK", "0")) == 0


def wait() -> None:
    """Until all processes are here; at once where there is one."""
    import torch

    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.barrier()


def as_the_first(said: bool) -> bool:
    """What the first process says: clocks differ, and a step that only some take hangs."""
    import torch

    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return said
    device = "cuda" if torch.distributed.get_backend() == "nccl" else "cpu"
    flag = torch.tensor(int(said), device=device)
    torch.distributed.broadcast(flag, src=0)
    return bool(flag.item())

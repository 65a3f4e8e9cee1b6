"""What this machine can do, read from the operating system in a few milliseconds.

Nothing heavy is imported. Every choice comes with its reason, so that `cotmill doctor` can say
why vLLM runs the way it does; `builders.teachers.vllm` takes the values.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import shutil
import signal
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

GIB = 1 << 30
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class Setting(NamedTuple, Generic[T]):
    """A value chosen for this machine, and why."""

    value: T
    reason: str


@lru_cache(maxsize=1)
def cpu_flags() -> frozenset[str]:
    """Instruction sets of the CPU in Linux's spelling (`avx2`, `avx512_bf16`, `amx_bf16`, `bf16`)."""
    if platform.system() == "Darwin":
        return frozenset({"bf16"} if _sysctl("hw.optional.arm.FEAT_BF16") == "1" else ())
    return flags_in(_read("/proc/cpuinfo"))


def flags_in(cpuinfo: str) -> frozenset[str]:
    """The flags of the first CPU in the text of `/proc/cpuinfo`; x86 says `flags`, ARM `Features`."""
    for line in cpuinfo.splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def cores() -> list[int]:
    """Ids of the cores this process may run on, in order.

    A container's CPU quota counts too: of 64 visible cores with a quota of 2, the first two. Binding
    a thread to each of the 64 would have them wait for one another.
    """
    allowed = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    allowed = allowed or list(range(os.cpu_count() or 1))
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").strip().partition(" ")
    if quota.isdigit() and period.isdigit():
        allowed = allowed[: max(1, math.ceil(int(quota) / int(period)))]
    return allowed


def die_with(parent: int) -> bool:
    """Have the kernel end this process when its parent dies, however that dies. Linux only; elsewhere nothing happens.

    Args:
        parent: its process id as the parent knew it.

    Returns:
        Whether the parent still lives.
    """
    if sys.platform != "linux":
        return True
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    return os.getppid() == parent


def memory_available() -> int:
    """Bytes a new process could take without swapping; a container's limit counts."""
    if platform.system() == "Darwin":
        total = _sysctl("hw.memsize")
        return int(total) // 2 if total.isdigit() else 4 * GIB  # macOS gives no such figure: half of all
    available = 4 * GIB
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            available = int(line.split()[1]) * 1024
    limit, used = (_read(f"/sys/fs/cgroup/memory.{what}").strip() for what in ("max", "current"))
    if limit.isdigit() and used.isdigit():
        available = min(available, max(0, int(limit) - int(used)))
    return available


@lru_cache(maxsize=1)
def gpus() -> list[str]:
    """Names of the NVIDIA GPUs whose driver answers; empty when there is none or all are hidden."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") == "" or not shutil.which("nvidia-smi"):
        return []
    listing = _run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])
    return [line.strip() for line in listing.splitlines() if line.strip()]


def cpu_dtype(flags: frozenset[str] | None = None) -> Setting[str]:
    """Number format vLLM computes in on a CPU."""
    flags = cpu_flags() if flags is None else flags
    native = sorted(flags & {"avx512_bf16", "amx_bf16", "bf16"})
    if native:
        return Setting("bfloat16", f"the CPU has bfloat16 instructions ({', '.join(native)})")
    return Setting("float32", "the CPU has no bfloat16 instructions: emulating them is several times slower")


def omp_threads_bind() -> Setting[str]:
    """Cores vLLM's CPU worker binds its threads to, as `VLLM_CPU_OMP_THREADS_BIND` wants them."""
    if platform.system() == "Darwin":
        return Setting("nobind", "macOS has no thread affinity")
    ids = cores()
    return Setting(",".join(map(str, ids)), f"all {len(ids)} usable cores; the scheduler sleeps most of the time")


def kv_cache_bytes() -> Setting[int]:
    """Memory for vLLM's KV cache on a CPU, in bytes.

    vLLM touches all of it at the start, so more than a run needs is taken from everything else.
    """
    available = memory_available()
    value = min(max(available // 4, GIB // 2), 4 * GIB)
    return Setting(value, f"a quarter of {available / GIB:.1f} GiB available, within 0.5 to 4 GiB")


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


def _run(command: list[str]) -> str:
    """What a command prints; nothing when it is missing, fails or hangs."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def _sysctl(name: str) -> str:
    return _run(["sysctl", "-n", name]).strip()

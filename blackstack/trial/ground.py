"""The machine between two trials: nothing of the last one may be left, or the next one's numbers are not its own."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from blackstack.errors import BlockedError
from blackstack.facts import gpus, ports
from blackstack.nvml import Nvml, NvmlError
from blackstack.plan import Plan
from blackstack.serving import runtime_of

WAIT_S = 60.0  # a driver takes its time to give memory back after a process has ended
POLL_S = 0.5
TOLERANCE_MIB = 64  # what a desktop or a driver moves by itself

Vram = Sequence[int | None] | None  # of each GPU; None for one that does not tell


@dataclass(frozen=True, kw_only=True)
class Ground:
    """How the machine was before the first trial.

    Attributes:
        vram_mib: what each GPU held; None where none can be read, and then it is not checked.
        read: reads it again.
    """

    vram_mib: Vram
    read: Callable[[], Vram]

    @classmethod
    def look(cls, read: Callable[[], Vram] | None = None) -> Ground:
        """Look at the machine."""
        read = read or vram
        return cls(vram_mib=read(), read=read)

    @property
    def checked(self) -> str:
        """What is looked at between two trials, in words."""
        gpu = (
            "no GPU can be read here, so none is checked" if self.vram_mib is None else "the GPU's memory is given back"
        )
        return f"between two trials: no server, the port is free; {gpu}"

    def dirt(self, made: Plan) -> str:
        """Return what a trial of this plan left, or nothing."""
        running = runtime_of(made).observe(made.stack)
        if running is not None and running.state == "running":
            return f"{made.stack.name} still runs: {running.identity}"
        try:
            ports.listen(made.bind, made.port)
        except OSError:
            return f"port {made.port} is taken by {ports.holder(made.port)}"
        now = (self.read() or ()) if self.vram_mib is not None else ()
        for number, (before, after) in enumerate(zip_longest(self.vram_mib or (), now)):
            if before is None:
                continue
            if after is None:
                return f"GPU {number} held {before} MiB before the first trial, and does not answer any more"
            if after > before + TOLERANCE_MIB:
                return f"GPU {number} holds {after} MiB, where it held {before} before the first trial"
        return ""

    def demand_clean(self, made: Plan, *, wait_s: float = WAIT_S) -> None:
        """Wait until nothing is left.

        Raises:
            BlockedError: something still is; what was measured on top of it would be of no use.
        """
        deadline = time.monotonic() + wait_s
        while problem := self.dirt(made):
            if time.monotonic() > deadline:
                raise BlockedError(
                    "the machine is not clean after a trial, so no other was begun",
                    why=problem,
                    fix=[f"inv down --stack {made.stack.name}", "nvidia-smi   # who holds the GPU"],
                )
            time.sleep(POLL_S)


def vram() -> Vram:
    """Return what each GPU of this machine holds now, in MiB; None without a driver.

    A card that CUDA_VISIBLE_DEVICES hides is somebody else's, and counts as one that does not tell.
    """
    shown = {card.index for card in gpus.look().cuda_cards}
    with contextlib.suppress(NvmlError), Nvml() as nvml:
        seen = [nvml.card(index).memory() if index in shown else None for index in range(nvml.count())]
        return [memory.used_mib if memory else None for memory in seen] if any(seen) else None
    return None

"""The GPU while the load runs: power, clocks, temperature, memory, why it slowed down, and whose processes are on it.

Without a driver there is no GPU to read, and the result says so; what a card or its driver does not tell is left out.
"""

from __future__ import annotations

import contextlib
from typing import Any, Final

from blackstack.bench.machine import name_of
from blackstack.nvml import Card, Nvml, NvmlError

GRAPHICS_CLOCK, MEMORY_CLOCK, TEMPERATURE = 0, 2, 0
# nvml.h: nvmlClocksEventReason…; «idle» and «applications clocks» are no trouble
REASONS: Final = {
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake",
}


class Gpu:
    """Samples every GPU of this machine; the server's may be elsewhere, and then this says nothing about it.

    Args:
        library: as in `Nvml`.
    """

    def __init__(self, library: Any = None) -> None:  # noqa: ANN401 - the binding has no types
        self._cards: list[Card] = []
        self._samples: list[list[dict[str, Any]]] = []
        self._held: list[dict[int, int | None] | None] = []  # what each process held at most, in MiB; None: never told
        with contextlib.suppress(NvmlError):
            nvml = Nvml(library)
            for index in range(nvml.count()):
                with contextlib.suppress(NvmlError):
                    self._cards.append(nvml.card(index))
                    self._samples.append([])
                    self._held.append(None)

    @property
    def present(self) -> bool:
        """Tell whether there is any GPU to look at."""
        return bool(self._cards)

    def sample(self) -> None:
        """Take one sample of each GPU."""
        for number, card in enumerate(self._cards):
            self._samples[number].append(_look(card))
            self._held[number] = _most(self._held[number], card.processes("Compute"))

    def as_dict(self, server: frozenset[int] | None = None) -> list[dict[str, Any]]:
        """Return, for each GPU, the extremes and the mean of what was seen, and who used it.

        Args:
            server: the processes of the server; None where they are not known. Where none of them is seen on any card,
                they are a proxy's (nginx, LiteLLM, ``ssh -L``) or need no GPU, and whose the others are is not known.
        """
        seen_here = {pid for held in self._held for pid in held or ()}
        server = server if server and server & seen_here else None
        told = []
        for samples, held in zip(self._samples, self._held, strict=True):
            numbers = {
                key: {"min": min(seen), "mean": round(sum(seen) / len(seen), 2), "max": max(seen)}
                for key in ("power_w", "graphics_mhz", "memory_mhz", "temperature_c", "memory_used_mib")
                if (seen := [sample[key] for sample in samples if sample[key] is not None])
            }
            known = [sample["throttle"] for sample in samples if sample["throttle"] is not None]
            reasons = {"throttle_reasons": sorted({reason for seen in known for reason in seen})} if known else {}
            users = {} if held is None else {"processes": [_user(*one, server) for one in sorted(held.items())]}
            told.append({"samples": len(samples), **numbers, **reasons, **users})
        return told


def _look(card: Card) -> dict[str, Any]:
    milliwatts, memory = card.ask("nvmlDeviceGetPowerUsage"), card.memory()
    reasons = card.ask("nvmlDeviceGetCurrentClocksThrottleReasons")
    return {
        "power_w": None if milliwatts is None else milliwatts / 1000,
        "graphics_mhz": card.ask("nvmlDeviceGetClockInfo", GRAPHICS_CLOCK),
        "memory_mhz": card.ask("nvmlDeviceGetClockInfo", MEMORY_CLOCK),
        "temperature_c": card.ask("nvmlDeviceGetTemperature", TEMPERATURE),
        "memory_used_mib": memory.used_mib if memory else None,
        "throttle": None if reasons is None else [name for bit, name in REASONS.items() if reasons & bit],
    }


def _most(held: dict[int, int | None] | None, now: dict[int, int | None] | None) -> dict[int, int | None] | None:
    """Return what each process held at most, in any of two looks."""
    if held is None or now is None:
        return now if held is None else held
    both = {pid: (held.get(pid), now.get(pid)) for pid in {*held, *now}}
    return {pid: max((mib for mib in two if mib is not None), default=None) for pid, two in both.items()}


def _user(pid: int, used_mib: int | None, server: frozenset[int] | None) -> dict[str, Any]:
    return {
        "pid": pid,
        "name": name_of(pid),
        "used_mib": used_mib,
        "server": pid in server if server is not None else None,
    }

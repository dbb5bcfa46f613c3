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
        self._held: list[dict[int, int | None]] = []  # of each GPU, what each process held at most, in MiB
        with contextlib.suppress(NvmlError):
            nvml = Nvml(library)
            for index in range(nvml.count()):
                with contextlib.suppress(NvmlError):
                    self._cards.append(nvml.card(index))
                    self._samples.append([])
                    self._held.append({})

    @property
    def present(self) -> bool:
        """Tell whether there is any GPU to look at."""
        return bool(self._cards)

    def sample(self) -> None:
        """Take one sample of each GPU."""
        for card, samples, held in zip(self._cards, self._samples, self._held, strict=True):
            samples.append(_look(card))
            for pid, used in card.processes("Compute").items():
                held[pid] = max((mib for mib in (used, held.get(pid)) if mib is not None), default=None)

    def as_dict(self, server: frozenset[int] | None = None) -> list[dict[str, Any]]:
        """Return, for each GPU, the extremes and the mean of what was seen, and who used it.

        Args:
            server: the processes of the server; None where they are not known.
        """
        told = []
        for samples, held in zip(self._samples, self._held, strict=True):
            numbers = {
                key: {"min": min(seen), "mean": round(sum(seen) / len(seen), 2), "max": max(seen)}
                for key in ("power_w", "graphics_mhz", "memory_mhz", "temperature_c", "memory_used_mib")
                if (seen := [sample[key] for sample in samples if sample[key] is not None])
            }
            known = [sample["throttle"] for sample in samples if sample["throttle"] is not None]
            reasons = {"throttle_reasons": sorted({reason for seen in known for reason in seen})} if known else {}
            processes = [
                {"pid": pid, "name": name_of(pid), "used_mib": used, "server": pid in server if server else None}
                for pid, used in sorted(held.items())
            ]
            told.append({"samples": len(samples), **numbers, **reasons, "processes": processes})
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

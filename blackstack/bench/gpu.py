"""The GPU while the load runs, through NVML: power, clocks, temperature, memory, and why it slowed down.

NVML is read through the driver's own library, so there is nothing to install; without a driver there is no GPU to
read, and the result says so.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Final

from blackstack.bench.machine import name_of

LIBRARY: Final = "libnvidia-ml.so.1"
GRAPHICS_CLOCK, MEMORY_CLOCK, TEMPERATURE = 0, 2, 0
ROOM: Final = 64  # processes of one GPU that are asked for
UNKNOWN: Final = 2**64 - 1  # NVML_VALUE_NOT_AVAILABLE, as in a container or under WSL
# nvml.h: nvmlClocksEventReason…; «idle» and «applications clocks» are no trouble
REASONS: Final = {
    0x4: "sw_power_cap",
    0x8: "hw_slowdown",
    0x20: "sw_thermal_slowdown",
    0x40: "hw_thermal_slowdown",
    0x80: "hw_power_brake",
}


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class _Process(ctypes.Structure):
    """nvml.h: nvmlProcessInfo_t."""

    _fields_ = (
        ("pid", ctypes.c_uint),
        ("used", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


class Gpu:
    """Samples every GPU of this machine; the server's may be elsewhere, and then this says nothing about it."""

    def __init__(self) -> None:
        self._held: list[dict[int, int | None]] = []  # of each GPU, what each process held at most, in MiB
        self._devices: list[ctypes.c_void_p] = []
        self._samples: list[list[dict[str, Any]]] = []
        try:
            self._nvml = ctypes.CDLL(LIBRARY)
        except OSError:
            return
        if self._nvml.nvmlInit_v2():
            return
        count = ctypes.c_uint()
        self._nvml.nvmlDeviceGetCount_v2(ctypes.byref(count))
        for index in range(count.value):
            device = ctypes.c_void_p()
            if not self._nvml.nvmlDeviceGetHandleByIndex_v2(index, ctypes.byref(device)):
                self._devices.append(device)
                self._samples.append([])
                self._held.append({})

    @property
    def present(self) -> bool:
        """Tell whether there is any GPU to look at."""
        return bool(self._devices)

    def sample(self) -> None:
        """Take one sample of each GPU."""
        for device, samples, held in zip(self._devices, self._samples, self._held, strict=True):
            samples.append(self._look(device))
            for pid, used in self._processes(device):
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
            reasons = sorted({reason for sample in samples for reason in sample["throttle"]})
            processes = [
                {"pid": pid, "name": name_of(pid), "used_mib": used, "server": pid in server if server else None}
                for pid, used in sorted(held.items())
            ]
            told.append({"samples": len(samples), **numbers, "throttle_reasons": reasons, "processes": processes})
        return told

    def _look(self, device: ctypes.c_void_p) -> dict[str, Any]:
        nvml = self._nvml
        milliwatts = self._number(lambda to: nvml.nvmlDeviceGetPowerUsage(device, to))
        memory, reasons = _Memory(), ctypes.c_ulonglong()
        known = not nvml.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory))
        nvml.nvmlDeviceGetCurrentClocksThrottleReasons(device, ctypes.byref(reasons))
        return {
            "power_w": None if milliwatts is None else milliwatts / 1000,
            "graphics_mhz": self._number(lambda to: nvml.nvmlDeviceGetClockInfo(device, GRAPHICS_CLOCK, to)),
            "memory_mhz": self._number(lambda to: nvml.nvmlDeviceGetClockInfo(device, MEMORY_CLOCK, to)),
            "temperature_c": self._number(lambda to: nvml.nvmlDeviceGetTemperature(device, TEMPERATURE, to)),
            "memory_used_mib": memory.used >> 20 if known else None,
            "throttle": [name for bit, name in REASONS.items() if reasons.value & bit],
        }

    def _processes(self, device: ctypes.c_void_p) -> list[tuple[int, int | None]]:
        """Return who uses a GPU, and how many MiB each holds; nothing where the driver does not say."""
        count, found = ctypes.c_uint(ROOM), (_Process * ROOM)()
        try:
            refused = self._nvml.nvmlDeviceGetComputeRunningProcesses_v3(device, ctypes.byref(count), found)
        except AttributeError:  # a driver from before 2021
            return []
        if refused:
            return []
        return [(one.pid, None if one.used == UNKNOWN else one.used >> 20) for one in found[: count.value]]

    def _number(self, ask: Callable[[Any], int]) -> int | None:
        value = ctypes.c_uint()
        return None if ask(ctypes.byref(value)) else value.value

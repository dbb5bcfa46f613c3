"""The binding of a machine with an RTX 5090, and what it refuses to say."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, Never


class FakeError(Exception):
    """As pynvml's: with NVML's number."""

    def __init__(self, value: int) -> None:
        super().__init__(f"NVML error {value}")
        self.value = value


def refuse(number: int) -> Callable[..., Never]:
    """Make a function that is refused with one of NVML's numbers."""

    def refused(*_: object) -> Never:
        raise FakeError(number)

    return refused


def fake_nvml(**changes: Any) -> Any:  # noqa: ANN401
    """Make something with pynvml's functions, for one RTX 5090; ``changes`` are functions by their names."""
    functions: dict[str, Any] = {
        "NVMLError": FakeError,
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlSystemGetDriverVersion": lambda: "580.95.05",
        "nvmlSystemGetCudaDriverVersion": lambda: 13000,
        "nvmlSystemGetProcessName": lambda _pid: "/usr/bin/python3 -m vllm",
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda _handle: b"NVIDIA GeForce RTX 5090",  # older bindings give bytes
        "nvmlDeviceGetUUID": lambda _handle: "GPU-04d3b6e7",
        "nvmlDeviceGetCudaComputeCapability": lambda _handle: (12, 0),
        "nvmlDeviceGetMemoryInfo": lambda _handle: SimpleNamespace(total=34190917632, free=30 << 30, used=2 << 30),
        "nvmlDeviceGetPowerUsage": lambda _handle: 312000,
        "nvmlDeviceGetClockInfo": lambda _handle, kind: {0: 2600, 2: 14001}[kind],
        "nvmlDeviceGetTemperature": lambda _handle, _sensor: 61,
        "nvmlDeviceGetCurrentClocksThrottleReasons": lambda _handle: 0x1 | 0x4 | 0x20,
        "nvmlDeviceGetBrand": lambda _handle: 5,
        "nvmlDeviceGetDisplayActive": lambda _handle: 1,
        "nvmlDeviceGetPersistenceMode": lambda _handle: 0,
        "nvmlDeviceGetEccMode": refuse(3),  # NVML_ERROR_NOT_SUPPORTED
        "nvmlDeviceGetMigMode": refuse(3),  # NVML_ERROR_NOT_SUPPORTED
        "nvmlDeviceGetPowerManagementLimit": lambda _handle: 400000,
        "nvmlDeviceGetPowerManagementDefaultLimit": lambda _handle: 575000,
        "nvmlDeviceGetCurrPcieLinkGeneration": lambda _handle: 1,
        "nvmlDeviceGetCurrPcieLinkWidth": lambda _handle: 16,
        "nvmlDeviceGetMaxPcieLinkWidth": lambda _handle: 16,
        "nvmlDeviceGetComputeRunningProcesses": lambda _handle: [SimpleNamespace(pid=7, usedGpuMemory=1 << 30)],
        "nvmlDeviceGetGraphicsRunningProcesses": lambda _handle: [SimpleNamespace(pid=8, usedGpuMemory=None)],
    }
    return SimpleNamespace(**{**functions, **changes})

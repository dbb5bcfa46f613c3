"""The card of this machine, through the driver's own library; without a driver there is none."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

LIBRARY = "libnvidia-ml.so.1"
_NAME_BYTES = 96  # NVML_DEVICE_NAME_V2_BUFFER_SIZE


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


@dataclass(frozen=True, kw_only=True)
class Here:
    """A card as the driver reports it."""

    name: str
    memory_mib: int
    cc: str


def first(library: str = LIBRARY) -> Here | None:
    """Return the first card, or None where there is no driver or no card."""
    try:
        nvml = ctypes.CDLL(library)
        if nvml.nvmlInit_v2():
            return None
        device, name, memory = ctypes.c_void_p(), ctypes.create_string_buffer(_NAME_BYTES), _Memory()
        major, minor = ctypes.c_int(), ctypes.c_int()
        if (
            nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(device))
            or nvml.nvmlDeviceGetName(device, name, _NAME_BYTES)
            or nvml.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory))
            or nvml.nvmlDeviceGetCudaComputeCapability(device, ctypes.byref(major), ctypes.byref(minor))
        ):
            return None
    except (OSError, AttributeError):
        return None
    cc = f"{major.value}.{minor.value}"
    return Here(name=name.value.decode(errors="replace"), memory_mib=memory.total >> 20, cc=cc)

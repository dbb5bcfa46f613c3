"""NVML → facts: the driver's own library, through NVIDIA's binding ``nvidia-ml-py``.

The binding is imported when somebody looks. Every question may be refused alone («Not Supported» is an ordinary
answer of GeForce cards); such a fact is None, and the others still count.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

from blackstack.facts.gpu import Gpu, Gpus, Holder, Why

MIB = 1 << 20
# nvml.h, nvmlReturn_t
_ERRORS: dict[int, Why] = {
    4: "permission",
    9: "not-loaded",
    12: "no-driver",
    15: "lost",
    18: "mismatch",
}
# nvml.h, nvmlBrandType_t, in the words of NVIDIA_REQUIRE_CUDA
_BRANDS = {
    1: "quadro",
    2: "tesla",
    3: "nvs",
    4: "grid",
    5: "geforce",
    6: "titan",
    7: "vapps",
    8: "vpc",
    9: "vcs",
    10: "vws",
    11: "cloudgaming",
    12: "quadrortx",
    13: "nvidiartx",
    14: "nvidia",
    15: "geforcertx",
    16: "titanrtx",
}
_Answer = TypeVar("_Answer")


def look() -> Gpus:
    """Look at the GPUs through NVML; never raises."""
    try:
        import pynvml  # noqa: PLC0415 - thirty milliseconds that only those pay who ask for a GPU
    except ImportError:
        return Gpus(why_none="no-driver", detail="the Python package nvidia-ml-py is not installed")
    return read(pynvml)


def read(library: Any) -> Gpus:  # noqa: ANN401 - the module pynvml, which has no types
    """Return the GPUs that a library tells of; it is the module ``pynvml``, or something with its functions."""
    try:
        library.nvmlInit()
    except library.NVMLError as error:
        return _none(error)
    try:
        cards = tuple(_card(library, index) for index in range(library.nvmlDeviceGetCount()))
        driver = _text(_ask(library, library.nvmlSystemGetDriverVersion)) or ""
        number = _ask(library, library.nvmlSystemGetCudaDriverVersion)
    except library.NVMLError as error:
        return _none(error)
    finally:
        with contextlib.suppress(library.NVMLError):
            library.nvmlShutdown()
    cuda = f"{number // 1000}.{number % 1000 // 10}" if number else ""
    if not cards:
        return Gpus(source="nvml", driver=driver, cuda=cuda, why_none="no-devices", detail="NVML counts no device")
    return Gpus(source="nvml", driver=driver, cuda=cuda, cards=cards)


def _none(error: Exception) -> Gpus:
    return Gpus(why_none=_ERRORS.get(getattr(error, "value", 0), "unknown"), detail=str(error))


def _card(library: Any, index: int) -> Gpu:  # noqa: ANN401
    handle = library.nvmlDeviceGetHandleByIndex(index)

    def ask(name: str) -> Any:  # noqa: ANN401
        return _ask(library, lambda: getattr(library, name)(handle))

    memory = ask("nvmlDeviceGetMemoryInfo")
    capability = ask("nvmlDeviceGetCudaComputeCapability")
    ecc, mig = ask("nvmlDeviceGetEccMode"), ask("nvmlDeviceGetMigMode")  # each is (now, after a reset)
    running = [
        *(ask("nvmlDeviceGetComputeRunningProcesses") or ()),
        *(ask("nvmlDeviceGetGraphicsRunningProcesses") or ()),
    ]
    held = {process.pid: _mib(process.usedGpuMemory) for process in running}  # a process may be in both lists
    holders = [Holder(pid=pid, name=_name_of(library, pid), mib=mib) for pid, mib in held.items()]
    return Gpu(
        index=index,
        name=_text(ask("nvmlDeviceGetName")) or "",
        uuid=_text(ask("nvmlDeviceGetUUID")) or "",
        compute_capability=".".join(map(str, capability)) if capability else "",
        total_mib=_mib(memory.total) or 0 if memory else 0,
        free_mib=_mib(memory.free) or 0 if memory else 0,
        used_mib=_mib(memory.used) or 0 if memory else 0,
        brand=_BRANDS.get(ask("nvmlDeviceGetBrand") or 0, "unknown"),
        display=_switch(ask("nvmlDeviceGetDisplayActive")),
        persistence=_switch(ask("nvmlDeviceGetPersistenceMode")),
        ecc=_switch(ecc[0]) if ecc else None,
        mig=_switch(mig[0]) if mig else None,
        power_limit_w=_watts(ask("nvmlDeviceGetPowerManagementLimit")),
        power_default_w=_watts(ask("nvmlDeviceGetPowerManagementDefaultLimit")),
        pcie_generation=ask("nvmlDeviceGetCurrPcieLinkGeneration"),
        pcie_width=ask("nvmlDeviceGetCurrPcieLinkWidth"),
        pcie_width_max=ask("nvmlDeviceGetMaxPcieLinkWidth"),
        holders=tuple(sorted(holders, key=lambda holder: -(holder.mib or 0))),
    )


def _ask(library: Any, question: Callable[[], _Answer]) -> _Answer | None:  # noqa: ANN401
    """Return the answer, or None where this card or this driver has none."""
    try:
        return question()
    except (library.NVMLError, AttributeError, ValueError):  # an old library lacks functions; a name may be no text
        return None


def _name_of(library: Any, pid: int) -> str:  # noqa: ANN401
    told = _text(_ask(library, lambda: library.nvmlSystemGetProcessName(pid)))
    if not told:  # /proc would name somebody else: NVML counts in the machine's numbers, a container in its own
        return "a process that is not seen from here"
    return told.partition(" ")[0] if told.startswith("/") else told


def _text(told: str | bytes | None) -> str | None:
    return told.decode(errors="replace") if isinstance(told, bytes) else told


def _switch(told: int | None) -> bool | None:
    return None if told is None else bool(told)


def _mib(told: int | None) -> int | None:
    return None if told is None else told // MIB


def _watts(told: int | None) -> float | None:
    return None if told is None else told / 1000

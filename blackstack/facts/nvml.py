"""NVML → facts: what the driver's own library says of every card."""

from __future__ import annotations

from typing import Any

from blackstack.facts.gpu import Gpu, Gpus, Holder, Why
from blackstack.nvml import Card, Nvml, NvmlError

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


def look(library: Any = None) -> Gpus:  # noqa: ANN401 - the binding has no types
    """Look at the GPUs through NVML; never raises.

    Args:
        library: as in `Nvml`.
    """
    try:
        with Nvml(library) as nvml:
            cards = tuple(_card(nvml, nvml.card(index)) for index in range(nvml.count()))
            driver = nvml.ask("nvmlSystemGetDriverVersion") or ""
            number = nvml.ask("nvmlSystemGetCudaDriverVersion")
    except NvmlError as error:
        return Gpus(why_none=_ERRORS.get(error.number, "unknown"), detail=str(error))
    cuda = f"{number // 1000}.{number % 1000 // 10}" if number else ""
    if not cards:
        return Gpus(source="nvml", driver=driver, cuda=cuda, why_none="no-devices", detail="NVML counts no device")
    return Gpus(source="nvml", driver=driver, cuda=cuda, cards=cards)


def _card(nvml: Nvml, card: Card) -> Gpu:
    memory, capability = card.memory(), card.ask("nvmlDeviceGetCudaComputeCapability")
    ecc, mig = card.ask("nvmlDeviceGetEccMode"), card.ask("nvmlDeviceGetMigMode")  # each is (now, after a reset)
    return Gpu(
        index=card.index,
        name=card.ask("nvmlDeviceGetName") or "",
        uuid=card.ask("nvmlDeviceGetUUID") or "",
        compute_capability=".".join(map(str, capability)) if capability else "",
        total_mib=memory.total_mib if memory else 0,
        free_mib=memory.free_mib if memory else 0,
        used_mib=memory.used_mib if memory else 0,
        brand=_BRANDS.get(card.ask("nvmlDeviceGetBrand") or 0, "unknown"),
        display=_switch(card.ask("nvmlDeviceGetDisplayActive")),
        persistence=_switch(card.ask("nvmlDeviceGetPersistenceMode")),
        ecc=_switch(ecc[0]) if ecc else None,
        mig=_switch(mig[0]) if mig else None,
        power_limit_w=_watts(card.ask("nvmlDeviceGetPowerManagementLimit")),
        power_default_w=_watts(card.ask("nvmlDeviceGetPowerManagementDefaultLimit")),
        pcie_generation=card.ask("nvmlDeviceGetCurrPcieLinkGeneration"),
        pcie_width=card.ask("nvmlDeviceGetCurrPcieLinkWidth"),
        pcie_width_max=card.ask("nvmlDeviceGetMaxPcieLinkWidth"),
        holders=_holders(nvml, card),
    )


def _holders(nvml: Nvml, card: Card) -> tuple[Holder, ...]:
    holders = [Holder(pid=pid, name=_name_of(nvml, pid), mib=mib) for pid, mib in (card.processes() or {}).items()]
    return tuple(sorted(holders, key=lambda holder: -(holder.mib or 0)))


def _name_of(nvml: Nvml, pid: int) -> str:
    told = nvml.ask("nvmlSystemGetProcessName", pid)
    if not told:  # /proc would name somebody else: NVML counts in the machine's numbers, a container in its own
        return "a process that is not seen from here"
    return str(told.partition(" ")[0] if told.startswith("/") else told)


def _switch(told: int | None) -> bool | None:
    return None if told is None else bool(told)


def _watts(told: int | None) -> float | None:
    return None if told is None else told / 1000

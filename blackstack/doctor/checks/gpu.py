"""The GPU: is there one, does its driver have it, is it the right one, who holds its memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from blackstack import fitcheck
from blackstack.catalog.schema import Needs
from blackstack.doctor.case import KNOB, Case
from blackstack.doctor.knowledge import cuda_of, knowledge, wants_open_module
from blackstack.doctor.texts import found
from blackstack.facts.driver import Driver
from blackstack.facts.gpu import Gpu, Gpus
from blackstack.finding import Finding
from blackstack.versions import numbers

_MIB_IN_GIB = 1024
_FOREIGN = {"nouveau", "vfio-pci"}
_OF_WHY = {
    "mismatch": "gpu-driver-mismatch",
    "permission": "gpu-permission",
    "lost": "gpu-not-found",
    "no-devices": "gpu-not-found",
    "unknown": "gpu-unknown-state",
}


def check_gpu(case: Case) -> Finding | None:
    """A GPU answers where one is needed; where there is a card, its driver has it."""
    gpus = case.facts.gpus
    if case.wants_gpu and gpus.cards and not case.in_docker and not gpus.cuda_cards:
        there = [f"{card.index}: {card.name}, {card.uuid}" for card in gpus.cards]
        return found("gpu-hidden", {"visible": gpus.visible}, evidence=there)
    if not case.gpu_matters or gpus.cards:
        return None
    code = _why_none(case.facts.gpus, case.facts.driver)
    if code == "gpu-none" and case.plan is None:
        return None  # no card, and nobody who wants one
    who = case.plan.stack.name if case.plan else "nobody"
    return found(code, {"who": who}, evidence=_seen(case.facts.gpus, case.facts.driver))


def _why_none(gpus: Gpus, driver: Driver) -> str:
    """Return the code for a machine without a GPU that works: NVML's word, held against what is on the bus."""
    if driver.flavour == "proprietary" and any(wants_open_module(card.device) for card in driver.pci):
        return "gpu-needs-open-module"
    if gpus.why_none in _OF_WHY and (driver.pci or driver.loaded or driver.wsl):
        return _OF_WHY[gpus.why_none]
    if not driver.pci and gpus.why_none != "not-loaded":
        return "gpu-none"
    installed = driver.installed or gpus.why_none == "not-loaded"
    taken = any(card.driver in _FOREIGN for card in driver.pci)
    return "gpu-driver-not-loaded" if installed or taken else "gpu-driver-missing"


def _seen(gpus: Gpus, driver: Driver) -> list[str]:
    """Return what was seen of the driver and the cards."""
    lines = [gpus.detail] if gpus.detail else []
    lines += [f"{card.address}: {card.device}, {card.driver or 'no driver'}" for card in driver.pci]
    lines += [f"module: {driver.installed} ({driver.flavour})"] if driver.installed else []
    lines += [f"Secure Boot: {'on' if driver.secure_boot else 'off'}"] if driver.secure_boot is not None else []
    return lines


def too_old(card: Gpu, needs: Needs) -> bool:
    """Tell whether a card cannot run the kernels that a stack needs; one that does not tell what it is can."""
    return (0, 0) < card.capability < numbers(needs.compute_capability or "")


def too_small(card: Gpu, needs: Needs) -> bool:
    """Tell whether a card has less memory than a stack needs; one that does not tell how much it has can take it."""
    return 0 < card.total_mib < _least_mib(needs.vram_gib or 0)


def _least_mib(gib: float) -> float:
    return gib * float(knowledge()["ours"]["vram-nominal"]) * _MIB_IN_GIB


def check_compute_capability(case: Case) -> Finding | None:
    """The card can run the kernels that the stack was built with."""
    plan, card = case.plan, case.card if case.wants_gpu else None
    needed = plan.stack.x.needs.compute_capability if plan else None
    if plan is None or card is None or not too_old(card, plan.stack.x.needs):
        return None
    return found(
        "compute-capability",
        {"stack": plan.stack.name, "needed": needed, "gpu": card.name, "had": card.compute_capability},
    )


def check_vram(case: Case) -> Finding | None:
    """The card has the memory that the stack needs, and it is free."""
    plan, card = case.plan, case.card if case.wants_gpu else None
    needed = plan.stack.x.needs.vram_gib if plan else None
    if plan is None or card is None or not needed or not card.total_mib:
        return None
    total, free = card.total_mib / _MIB_IN_GIB, card.free_mib / _MIB_IN_GIB
    values = {"stack": plan.stack.name, "needed": f"{needed:g}", "gpu": card.name}
    if too_small(card, plan.stack.x.needs):
        return found("vram-too-small", {**values, "had": f"{total:.1f}"})
    if card.free_mib >= _least_mib(needed):
        return None
    held = [f"{one.name} (process {one.pid}) holds {_mib(one.mib)}" for one in card.holders]
    cause = "others hold the rest" if held else "who holds it is not seen from here: another user, or a container"
    numbers = {"free": f"{free:.1f}", "total": f"{total:.1f}"}
    finding = found("vram-held", {"held": cause, **numbers, **values}, evidence=held)
    return replace(finding, fix=(*_other_card(case, card, plan.stack.x.needs), *finding.fix))


def _other_card(case: Case, taken: Gpu, needs: Needs) -> Iterator[str]:
    """Yield how the stack gets another card, if one is free; not one that is hidden from this shell."""
    gpus = case.facts.gpus
    for card in gpus.cards if case.in_docker else gpus.cuda_cards:
        able = not too_old(card, needs) and not too_small(card, needs)
        if card.index == taken.index or not able or card.free_mib < _least_mib(needs.vram_gib or 0):
            continue
        if not case.in_docker:
            yield f"export CUDA_VISIBLE_DEVICES={card.uuid or card.index}   # {card.name}, which is free"
        elif case.plan and KNOB in case.plan.settings:
            yield f"--set {KNOB}={card.index}   # {card.name}, which is free"
        return


def check_fit(case: Case) -> Finding | None:
    """The model, with the context that is asked for, fits the card: by arithmetic, before anything is loaded."""
    if case.plan is None or case.card is None or not case.card.total_mib or check_vram(case):
        return None  # of a card that is too small as a whole, that is the better sentence
    return fitcheck.check_fit(case.plan, case.card.name, case.card.total_mib)


def check_display(case: Case) -> Finding | None:
    """No screen hangs on the card."""
    card = _card(case)
    return _say(card, "gpu-display") if card and card.display else None


def check_mig(case: Case) -> Finding | None:
    """The card is one piece."""
    card = _card(case)
    return _say(card, "gpu-mig") if card and card.mig else None


def check_power(case: Case) -> Finding | None:
    """The card may draw what it was made for."""
    card = _card(case)
    if card is None or not card.power_limit_w or not card.power_default_w:
        return None
    if card.power_limit_w >= card.power_default_w - 1:
        return None
    return _say(card, "gpu-power", now=f"{card.power_limit_w:.0f}", factory=f"{card.power_default_w:.0f}")


def check_persistence(case: Case) -> Finding | None:
    """The driver keeps a card awake that has no screen."""
    card = _card(case)
    if card is None or card.persistence is not False or card.display or case.facts.driver.wsl:
        return None
    return _say(card, "gpu-persistence")


def check_pcie(case: Case) -> Finding | None:
    """The card has all of its lanes."""
    card = _card(case)
    if card is None or not card.pcie_width or not card.pcie_width_max or card.pcie_width >= card.pcie_width_max:
        return None
    return _say(card, "gpu-pcie", width=card.pcie_width, width_max=card.pcie_width_max)


def check_slow_driver(case: Case) -> Finding | None:
    """Nobody reported this very driver to be slow."""
    if not case.gpu_matters:
        return None
    driver = case.facts.gpus.driver
    row = next((row for row in knowledge()["slow-driver"] if row["version"] == driver), None)
    return found("driver-slow", {"driver": driver, "said": row["said"]}) if row else None


def check_wsl(case: Case) -> Finding | None:
    """WSL2 is another machine inside Windows."""
    if not case.gpu_matters or not case.facts.driver.wsl:
        return None
    plan = case.plan
    for row in knowledge()["pinned-memory"] if plan else ():
        version = plan.stack.x.engine_version if plan else None
        if plan and plan.stack.x.engine == row["engine"] and version and numbers(version) >= numbers(row["since"]):
            return found("wsl-pinned-memory", {"stack": plan.stack.name, **row})
    return found("wsl")


def driver_cuda(case: Case) -> str:
    """Return the newest CUDA that the driver runs: in its own words, or by its version."""
    return case.facts.gpus.cuda or cuda_of(case.facts.gpus.driver)


def _card(case: Case) -> Gpu | None:
    """Return the card to look at; none for a stack that leaves GPUs alone."""
    return case.card if case.gpu_matters else None


def _say(card: Gpu, code: str, **values: object) -> Finding:
    return found(code, {"gpu": card.name, **values})


def _mib(mib: int | None) -> str:
    return "an amount that the driver does not tell" if mib is None else f"{mib:,} MiB"

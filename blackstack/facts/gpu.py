"""The GPUs of a machine, as facts; who tells them stands in `nvml` and `nvidia_smi`, who asks in `gpus`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Why = Literal["no-driver", "not-loaded", "mismatch", "permission", "no-devices", "lost", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Holder:
    """A process that holds GPU memory; ``mib`` is None where the driver does not tell (WSL2)."""

    pid: int
    name: str
    mib: int | None


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One card, as its driver describes it; what the card or the driver does not tell is None.

    Attributes:
        index: its number in NVML's order, which is that of the PCI bus.
        compute_capability: such as ``12.0``.
        total_mib, free_mib, used_mib: memory; a desktop and the driver itself use some of it.
        brand: as the container toolkit calls it: ``geforce``, ``tesla``, ``nvidia``…
        display: whether a screen hangs on it.
        persistence: whether the driver keeps it awake between programs.
        power_limit_w, power_default_w: what it may draw now, and from the factory.
        pcie_generation, pcie_width, pcie_width_max: of the link; the generation drops while the card is idle.
        holders: who holds its memory, the largest first.
    """

    index: int
    name: str
    uuid: str = ""
    compute_capability: str = ""
    total_mib: int = 0
    free_mib: int = 0
    used_mib: int = 0
    brand: str = "unknown"
    display: bool | None = None
    persistence: bool | None = None
    ecc: bool | None = None
    mig: bool | None = None
    power_limit_w: float | None = None
    power_default_w: float | None = None
    pcie_generation: int | None = None
    pcie_width: int | None = None
    pcie_width_max: int | None = None
    holders: tuple[Holder, ...] = ()

    @property
    def capability(self) -> tuple[int, int]:
        """The compute capability as numbers; (0, 0) where it is not known."""
        major, _, minor = self.compute_capability.partition(".")
        return (int(major), int(minor)) if major.isdecimal() and minor.isdecimal() else (0, 0)


@dataclass(frozen=True, kw_only=True)
class Gpus:
    """All cards of this machine.

    Attributes:
        source: who told: ``nvml``, ``nvidia-smi``, or nobody.
        driver: the driver's version, such as ``580.95.05``.
        cuda: the newest CUDA version that it runs, such as ``13.0``.
        cards: in the order of the PCI bus.
        why_none: where there are none, the reason, and ``detail`` in the words of whoever said so.
        visible: CUDA_VISIBLE_DEVICES as it is set here; None where it is not.
        by_bus: whether CUDA counts cards by the bus here (CUDA_DEVICE_ORDER=PCI_BUS_ID), and not the fastest first.
    """

    source: Literal["nvml", "nvidia-smi", ""] = ""
    driver: str = ""
    cuda: str = ""
    cards: tuple[Gpu, ...] = ()
    why_none: Why | None = None
    detail: str = ""
    visible: str | None = None
    by_bus: bool = False

    @property
    def cuda_cards(self) -> tuple[Gpu, ...]:
        """The cards that a process started here sees, in CUDA's order; the first is the one that it takes.

        Which one is the fastest is CUDA's secret; of unlike cards the newer and larger is taken for it. The list ends
        at the first entry that names no card: https://docs.nvidia.com/cuda/cuda-c-programming-guide/#cuda-environment-variables
        """
        cards = self.cards
        if not self.by_bus:
            cards = tuple(sorted(cards, key=lambda card: (card.capability, card.total_mib), reverse=True))
        if self.visible is None or "MIG-" in self.visible:  # whose slice it is, is not asked
            return cards
        seen: list[Gpu] = []
        for word in self.visible.split(","):
            name = word.strip()
            named = [card for number, card in enumerate(cards) if name == str(number) or _is(card, name)]
            if not named:
                break
            seen += named
        return tuple(seen)


def _is(card: Gpu, name: str) -> bool:
    """Tell whether a name is a card's UUID, or its beginning."""
    return name.startswith("GPU-") and card.uuid.startswith(name)

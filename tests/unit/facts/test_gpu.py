"""GPUs as nvidia-smi and NVML describe them, and the reasons for which there are none."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from blackstack.facts import gpus, nvidia_smi, nvml
from blackstack.facts.gpu import Gpus, Holder

Seen = Mapping[str, Mapping[str, str]]


def test_two_cards_are_read_from_the_table(seen: Seen) -> None:
    told = nvidia_smi.read(seen["rtx-5090-and-4090"]["text"], head=seen["rtx-5090-and-4090"]["head"])

    assert (told.source, told.driver, told.cuda) == ("nvidia-smi", "580.82.09", "13.0")
    card, other = told.cards
    assert (card.name, card.capability, card.brand) == ("NVIDIA GeForce RTX 5090", (12, 0), "geforce")
    assert (card.total_mib, card.free_mib, card.used_mib) == (32607, 32119, 2)
    assert (card.display, card.persistence, card.ecc, card.mig) == (False, False, None, None)
    assert (card.power_limit_w, card.power_default_w) == (600.0, 575.0)
    assert (other.capability, other.ecc, other.pcie_width, other.pcie_width_max) == ((8, 9), False, 8, 16)


def test_who_holds_memory_is_told_for_each_card_the_largest_first(seen: Seen) -> None:
    told = nvidia_smi.read(seen["rtx-5090-and-4090"]["text"], holders=seen["holders"]["text"])

    assert [(one.name, one.mib) for one in told.cards[0].holders] == [
        ("/usr/bin/python3", 6294),
        ("tritonserver", 1836),
    ]
    assert told.cards[1].holders == (Holder(pid=3858903, name="VLLM::EngineCore", mib=None),)


@pytest.mark.parametrize(("name", "cuda"), [("head-610", "13.3"), ("head-wsl", "13.1")])
def test_the_cuda_version_is_found_in_the_heads_of_old_and_new_drivers(seen: Seen, name: str, cuda: str) -> None:
    assert nvidia_smi.read(seen["rtx-5090-and-4090"]["text"], head=seen[name]["text"]).cuda == cuda


@pytest.mark.parametrize("why", ["mismatch", "not-loaded", "permission", "no-devices"])
def test_the_reason_is_read_from_what_is_printed_instead(seen: Seen, why: str) -> None:
    told = nvidia_smi.failure(seen[why]["text"])

    assert told.why_none == why
    assert told.detail in " ".join(seen[why]["text"].split())


def test_a_sentence_that_nobody_knows_is_kept() -> None:
    assert nvidia_smi.read("Something new\n") == Gpus(source="nvidia-smi", why_none="unknown", detail="Something new")


class FakeError(Exception):
    """As pynvml's: with NVML's number."""

    def __init__(self, value: int) -> None:
        super().__init__(f"NVML error {value}")
        self.value = value


def library(**changes: Any) -> Any:  # noqa: ANN401
    """Make something with pynvml's functions, for one RTX 5090."""

    def refuse(_handle: object) -> None:
        raise FakeError(3)  # NVML_ERROR_NOT_SUPPORTED

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
        "nvmlDeviceGetBrand": lambda _handle: 5,
        "nvmlDeviceGetDisplayActive": lambda _handle: 1,
        "nvmlDeviceGetPersistenceMode": lambda _handle: 0,
        "nvmlDeviceGetEccMode": refuse,
        "nvmlDeviceGetMigMode": refuse,
        "nvmlDeviceGetPowerManagementLimit": lambda _handle: 400000,
        "nvmlDeviceGetPowerManagementDefaultLimit": lambda _handle: 575000,
        "nvmlDeviceGetCurrPcieLinkGeneration": lambda _handle: 1,
        "nvmlDeviceGetCurrPcieLinkWidth": lambda _handle: 16,
        "nvmlDeviceGetMaxPcieLinkWidth": lambda _handle: 16,
        "nvmlDeviceGetComputeRunningProcesses": lambda _handle: [SimpleNamespace(pid=7, usedGpuMemory=1 << 30)],
        "nvmlDeviceGetGraphicsRunningProcesses": lambda _handle: [SimpleNamespace(pid=8, usedGpuMemory=None)],
    }
    return SimpleNamespace(**{**functions, **changes})


def test_a_card_is_read_through_nvml_and_what_it_does_not_support_is_none() -> None:
    told = nvml.read(library())

    assert (told.source, told.driver, told.cuda) == ("nvml", "580.95.05", "13.0")
    (card,) = told.cards
    assert (card.name, card.compute_capability, card.brand) == ("NVIDIA GeForce RTX 5090", "12.0", "geforce")
    assert (card.total_mib, card.display, card.persistence, card.ecc, card.mig) == (32607, True, False, None, None)
    assert (card.power_limit_w, card.power_default_w) == (400.0, 575.0)
    assert [(one.pid, one.name, one.mib) for one in card.holders] == [
        (7, "/usr/bin/python3", 1024),
        (8, "/usr/bin/python3", None),
    ]


@pytest.mark.parametrize(
    ("number", "why"), [(4, "permission"), (9, "not-loaded"), (12, "no-driver"), (18, "mismatch"), (999, "unknown")]
)
def test_an_nvml_that_does_not_start_says_why(number: int, why: str) -> None:
    def refuse() -> None:
        raise FakeError(number)

    assert nvml.read(library(nvmlInit=refuse)).why_none == why


def test_a_library_that_is_too_old_for_a_question_answers_the_others() -> None:
    old = library()
    del old.nvmlDeviceGetMigMode, old.nvmlDeviceGetBrand

    (card,) = nvml.read(old).cards

    assert (card.mig, card.brand, card.compute_capability) == (None, "unknown", "12.0")


def test_a_card_that_falls_off_the_bus_while_it_is_asked_is_a_fact() -> None:
    def lost(_index: int) -> None:
        raise FakeError(15)

    assert nvml.read(library(nvmlDeviceGetHandleByIndex=lost)).why_none == "lost"


def test_the_real_library_of_this_machine_is_asked_and_nothing_is_raised() -> None:
    told = gpus.look()

    assert bool(told.cards) != bool(told.why_none)

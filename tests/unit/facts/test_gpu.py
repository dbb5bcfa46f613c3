"""GPUs as nvidia-smi and NVML describe them, and the reasons for which there are none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

import pytest

from blackstack.facts import gpus, nvidia_smi, nvml
from blackstack.facts.gpu import Gpu, Gpus, Holder
from tests.unit.fake_nvml import fake_nvml, refuse

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


def test_a_card_is_read_through_nvml_and_what_it_does_not_support_is_none() -> None:
    told = nvml.look(fake_nvml())

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
    assert nvml.look(fake_nvml(nvmlInit=refuse(number))).why_none == why


def test_a_library_that_is_too_old_for_a_question_answers_the_others() -> None:
    old = fake_nvml()
    del old.nvmlDeviceGetMigMode, old.nvmlDeviceGetBrand

    (card,) = nvml.look(old).cards

    assert (card.mig, card.brand, card.compute_capability) == (None, "unknown", "12.0")


def test_a_card_that_falls_off_the_bus_while_it_is_asked_is_a_fact() -> None:
    assert nvml.look(fake_nvml(nvmlDeviceGetHandleByIndex=refuse(15))).why_none == "lost"


QUESTIONS = [name for name in vars(fake_nvml()) if name.startswith(("nvmlDeviceGet", "nvmlSystemGet"))]
DEMANDED = {"nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex"}


@pytest.mark.parametrize("question", sorted(set(QUESTIONS) - DEMANDED))
def test_what_we_may_not_ask_is_missing_alone(question: str) -> None:
    (whole,) = nvml.look(fake_nvml()).cards

    (card,) = nvml.look(fake_nvml(**{question: refuse(4)})).cards  # NVML_ERROR_NO_PERMISSION

    lost = {field.name for field in fields(card) if getattr(card, field.name) != getattr(whole, field.name)}
    assert len(lost) <= 1 or lost == {"total_mib", "free_mib", "used_mib"}


def test_the_real_library_of_this_machine_is_asked_and_nothing_is_raised() -> None:
    told = gpus.look()

    assert bool(told.cards) != bool(told.why_none)


OLD = Gpu(index=0, name="an older one", uuid="GPU-1a2b", compute_capability="8.6", total_mib=24576)
NEW = Gpu(index=1, name="a newer one", uuid="GPU-1a9f", compute_capability="12.0", total_mib=32607)


@pytest.mark.parametrize(
    ("visible", "by_bus", "shown"),
    [
        (None, False, [NEW, OLD]),
        (None, True, [OLD, NEW]),
        ("0", False, [NEW]),
        ("0", True, [OLD]),
        (" 1, 0", True, [NEW, OLD]),
        ("GPU-1a9", True, [NEW]),
        ("1,5,0", True, [NEW]),
        ("MIG-3f2a", True, [OLD, NEW]),
        ("-1", True, []),
        ("", True, []),
    ],
)
def test_cuda_shows_the_fastest_first_or_what_it_is_told(
    visible: str | None, shown: list[Gpu], *, by_bus: bool
) -> None:
    assert list(Gpus(cards=(OLD, NEW), visible=visible, by_bus=by_bus).cuda_cards) == shown


def test_what_cuda_is_told_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")

    told = gpus.look()

    assert (told.visible, told.by_bus) == ("1", True)

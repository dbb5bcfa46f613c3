"""Which stacks this machine can run."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from blackstack import catalog, fit
from blackstack.errors import BlockedError
from blackstack.facts.gpu import Gpu
from blackstack.fitcheck import knob_of_flag
from blackstack.host import Host
from blackstack.verbs.fitting import overrides, why_not_here
from tests.unit.conftest import REPOSITORY

HOST = Host(
    engine=None,
    no_engine=BlockedError("no Docker here"),
    cpu="cpu",
    cores=2,
    memory_bytes=8 << 30,
    disk_free_bytes=100 << 30,
    system="linux",
    python="3.11",
)
CARD = Gpu(index=0, name="NVIDIA GeForce RTX 5090", total_mib=32607, compute_capability="12.0")


def stack(**needs: object) -> catalog.Stack:
    one = catalog.load(REPOSITORY, "llamacpp-cpu")
    return replace(one, x=one.x.model_copy(update={"needs": one.x.needs.model_copy(update=needs)}))


def test_a_machine_that_has_all_has_nothing_against_it() -> None:
    assert why_not_here(stack(), HOST, None) == ""
    assert why_not_here(stack(vram_gib=30, compute_capability="12.0"), HOST, CARD) == ""


@pytest.mark.parametrize(
    ("needs", "here", "told"),
    [
        ({"memory_gib": 16}, None, "16 GiB of memory, here 8.0"),
        ({"disk_gib": 1000}, None, "1000 GiB of disk"),
        ({"vram_gib": 8}, None, "an NVIDIA GPU"),
        ({"vram_gib": 48}, CARD, "48 GiB of GPU memory, here 31.8"),
        ({"vram_gib": 8, "compute_capability": "12.1"}, CARD, "compute capability 12.1, here 12.0"),
    ],
)
def test_what_lacks_is_said(needs: dict[str, object], here: Gpu | None, told: str) -> None:
    assert told in why_not_here(stack(**needs), HOST, here)


def test_a_newer_capability_counts_as_a_number_not_as_text() -> None:
    assert why_not_here(stack(vram_gib=8, compute_capability="9.0"), HOST, CARD) == ""


def test_an_answer_names_the_stacks_of_that_model_and_version_with_their_knobs() -> None:
    asked = fit.Ask(
        model=fit.find_model("gpt-oss-20b", online=False),
        card=fit.card("rtx-5090"),
        engine=fit.engine("vllm==0.11.0"),
        context=65_536,
    )

    told = overrides(fit.estimate(asked))

    assert "vllm-official" in told
    assert "vllm-stable" not in told
    assert told["vllm-official"][:2] == ["--set", "MAX_MODEL_LEN=65536"]


def test_what_does_not_fit_names_no_stack() -> None:
    asked = fit.Ask(
        model=fit.find_model("gpt-oss-20b", online=False), card=fit.card("rtx-5070"), engine=fit.engine("vllm==0.11.0")
    )

    assert overrides(fit.estimate(asked)) == {}


def asked_of(gpu: str, **more: Any) -> fit.Ask:  # noqa: ANN401 - any field of a question
    model = fit.find_model("gpt-oss-20b", online=False)
    asked = fit.Ask(model=model, card=fit.card(gpu), engine=fit.engine("vllm"), context=131_072, concurrency=8)
    return replace(asked, **more)


def test_a_flag_that_has_no_knob_goes_to_the_server_as_extra_words() -> None:
    told = overrides(fit.estimate(asked_of("rtx-5090", kv_dtype="fp8")))

    assert told
    for name, words in told.items():
        knobs = knob_of_flag(catalog.load(REPOSITORY, name))
        extra = [word.removeprefix("--extra=") for word in words if word.startswith("--extra=")]
        assert "--kv-cache-dtype" in knobs or "--kv-cache-dtype fp8" in " ".join(extra), name


def test_a_card_that_a_stack_cannot_run_on_is_not_sent_to_it() -> None:
    on_an_a100 = fit.estimate(asked_of("a100", concurrency=1))

    assert on_an_a100.fits
    assert "vllm-stable" in overrides(fit.estimate(asked_of("rtx-5090", concurrency=1)))
    for name in overrides(on_an_a100):
        assert catalog.load(REPOSITORY, name).x.needs.compute_capability in {None, "8.0"}, name


def test_several_cards_are_not_sent_to_a_stack_that_gives_its_server_one() -> None:
    assert overrides(fit.estimate(asked_of("rtx-5090", tensor_parallel=2))) == {}

"""Which stacks serve what was asked about, with which words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from blackstack import catalog, fit
from blackstack.fitcheck import knob_of_flag
from blackstack.verbs.fitting import overrides
from tests.unit.conftest import REPOSITORY


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

"""Whatever is asked, an estimate moves the right way with each input."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from blackstack import fit

MODELS = st.sampled_from([fit.find_model(name, online=False) for name in fit.model_names()])
CARDS = st.sampled_from([one.name for one in fit.cards()])
ENGINES = st.sampled_from(
    ["vllm==0.11.0", "vllm==0.14.1", "vllm==0.23.0", "vllm", "sglang==0.5.5", "sglang", "llamacpp"]
)
PACKED = {"vllm": "fp8", "sglang": "fp8", "llamacpp": "q8_0"}
SHARES = st.floats(0.3, 0.99)


@st.composite
def asks(draw: st.DrawFn) -> fit.Ask:
    """Any question that can be put."""
    model, engine = draw(MODELS), fit.engine(draw(ENGINES))
    return fit.Ask(
        model=model,
        card=fit.card(draw(CARDS)),
        engine=engine,
        context=draw(st.one_of(st.none(), st.integers(1, model.max_positions))),
        concurrency=draw(st.integers(1, 64)),
        kv_dtype=draw(st.sampled_from(["auto", PACKED[engine.name]])),
        utilisation=draw(st.one_of(st.none(), SHARES)),
    )


@settings(deadline=None)
@given(asks(), st.integers(1, 200_000))
def test_longer_requests_are_fewer(ask: fit.Ask, more: int) -> None:
    short = ask.context or 1024
    short = min(short, ask.model.max_positions)
    long = min(short + more, ask.model.max_positions)

    fewer = fit.estimate(replace(ask, context=long)).long_requests

    assert fewer <= fit.estimate(replace(ask, context=short)).long_requests


@settings(deadline=None)
@given(asks(), SHARES, SHARES)
def test_a_larger_share_of_the_card_holds_no_fewer_tokens(ask: fit.Ask, one: float, other: float) -> None:
    ask = replace(ask, context=min(4096, ask.model.max_positions))
    low, high = (fit.estimate(replace(ask, utilisation=share)) for share in sorted((one, other)))

    assert low.pool <= high.pool
    assert low.printed <= high.printed
    assert low.max_context <= high.max_context
    assert low.fits <= high.fits


@settings(deadline=None)
@given(asks(), st.integers(1, 64))
def test_more_requests_at_once_are_shorter(ask: fit.Ask, more: int) -> None:
    together = fit.estimate(replace(ask, concurrency=ask.concurrency + more)).max_context

    assert together <= fit.estimate(ask).max_context


@settings(deadline=None)
@given(asks())
def test_a_smaller_cache_element_holds_no_fewer_tokens(ask: fit.Ask) -> None:
    dtypes = ("auto", PACKED[ask.engine.name])
    plain, packed = (fit.estimate(replace(ask, kv_dtype=dtype, pool_gib=4.0)) for dtype in dtypes)

    half = plain.bytes_a_token / 2
    assert half <= packed.bytes_a_token <= half * 34 / 32 + 1
    assert packed.max_context >= plain.max_context
    assert packed.ceilings[1].tokens_per_s >= plain.ceilings[1].tokens_per_s or ask.context is None


@settings(deadline=None)
@given(asks(), st.floats(0.1, 100), st.floats(0.1, 100))
def test_a_larger_pool_holds_no_fewer_tokens(ask: fit.Ask, one: float, other: float) -> None:
    ask = replace(ask, context=min(2048, ask.model.max_positions))
    low, high = (fit.estimate(replace(ask, pool_gib=gib)) for gib in sorted((one, other)))

    assert low.printed <= high.printed
    assert low.long_requests <= high.long_requests


@settings(deadline=None)
@given(asks(), st.floats(1.01, 4))
def test_a_card_with_more_memory_and_bandwidth_is_no_worse(ask: fit.Ask, times: float) -> None:
    ask = replace(ask, utilisation=0.9, context=min(2048, ask.model.max_positions), sequences=64)
    same_class = replace(ask.card, usable_gib=ask.card.usable_gib * 1.001, gb_s=ask.card.gb_s * times)
    bigger = fit.estimate(replace(ask, card=same_class))

    assert bigger.pool >= fit.estimate(ask).pool or ask.card.usable_gib < 70 <= same_class.usable_gib
    assert bigger.ceilings[0].tokens_per_s >= fit.estimate(ask).ceilings[0].tokens_per_s


@settings(deadline=None)
@given(asks())
def test_the_parts_of_the_card_add_up(ask: fit.Ask) -> None:
    found = fit.estimate(ask)
    spent = found.budget

    assert abs(spent.total - sum((spent.weights, spent.peak, spent.graphs, spent.other, spent.unused, spent.pool))) < 1
    assert found.weights >= found.checkpoint * 0.99


@settings(deadline=None)
@given(asks())
def test_the_longest_context_fits_and_one_more_token_does_not(ask: fit.Ask) -> None:
    found = fit.estimate(replace(ask, context=None))
    if not 0 < found.max_context < ask.model.max_positions:
        return

    at_the_limit = fit.estimate(replace(ask, context=found.max_context))
    beyond = fit.estimate(replace(ask, context=found.max_context + 1))

    assert at_the_limit.fits
    assert at_the_limit.long_requests >= ask.concurrency
    assert not beyond.fits


@settings(deadline=None)
@given(asks())
def test_flags_that_fit_do_fit(ask: fit.Ask) -> None:
    flags = fit.flags_that_fit(ask)
    if flags is None:
        return
    names = fit.flag_names(ask.engine.name)
    share = flags.get(names.get("utilisation", ""))
    parallel = 1 if ask.engine.name != "llamacpp" else int(flags[names["concurrency"]])
    again = replace(
        ask,
        context=int(flags[names["context"]]) // parallel,
        concurrency=1,
        utilisation=float(share) if share else ask.utilisation,
        kv_dtype=flags.get(names["kv"], "auto"),
    )

    assert fit.estimate(again).fits


@settings(max_examples=25, deadline=None)
@given(asks(), st.integers(1, 32))
def test_a_batch_is_faster_than_one_and_slower_than_as_many_alone(ask: fit.Ask, batch: int) -> None:
    padding = ask.engine.expert_padding(ask.card.cc)
    alone, together = (fit.ceiling(ask.model, ask.card, padding, batch=size, context=1024) for size in (1, batch))

    assert alone.tokens_per_s * 0.999 <= together.tokens_per_s <= alone.tokens_per_s * batch * 1.001

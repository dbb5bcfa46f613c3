"""Two records are compared, or refused with the reason; a verdict never says more than its interval."""

from __future__ import annotations

import dataclasses
import json
import random
from typing import Any

import pytest

from blackstack.bench import Workload
from blackstack.comparison import Comparison, compare, interval
from blackstack.errors import BlockedError, UsageError
from blackstack.results import Record
from tests.unit.records import record


def verdict(comparison: Comparison, measure: str, concurrency: int = 1) -> str:
    """Return what was said of one measure."""
    (found,) = [one for one in comparison.effects if (one.measure, one.concurrency) == (measure, concurrency)]
    return found.verdict


def with_workload(one: Record, **changed: Any) -> Record:  # noqa: ANN401 - fields of a workload
    """Return a record that was asked for something else."""
    return one.model_copy(update={"asked_for": {**one.asked_for, "workload": {**one.workload, **changed}}})


def with_run(one: Record, **changed: Any) -> Record:  # noqa: ANN401 - fields of a run
    """Return a record whose first run is otherwise."""
    return one.model_copy(update={"runs": (one.runs[0].model_copy(update=changed), *one.runs[1:])})


def test_a_faster_server_is_called_faster_in_every_measure() -> None:
    found = compare(record(repeats=4), record("two", speed=1.25, repeats=4, seed=1))

    assert found.verdict == "faster"
    assert {one.verdict for one in found.effects} == {"faster"}
    assert {one.basis for one in found.effects} == {"repeats"}


def test_the_effect_is_a_ratio_of_b_to_a_with_an_interval_around_it() -> None:
    found = compare(record(repeats=4), record("two", speed=1.25, repeats=4, seed=1))

    for one in found.effects:
        assert one.ci95 is not None
        assert one.ci95[0] < one.ratio < one.ci95[1]
        assert (1.25 if one.more_is_better else 0.8) == pytest.approx(one.ratio, rel=0.06)


def test_two_runs_of_the_same_show_no_difference() -> None:
    found = compare(record(repeats=3), record("two", repeats=3, seed=1))

    assert verdict(found, "output tokens/s") == "no difference shown"
    assert found.too_slow(0.0) == ()


def test_a_slower_server_fails_a_gate_and_a_faster_one_does_not() -> None:
    slow = compare(record(repeats=4), record("two", speed=0.8, repeats=4, seed=1))
    fast = compare(record(repeats=4), record("two", speed=1.25, repeats=4, seed=1))

    assert {one.measure for one in slow.too_slow(0.05)} >= {"output tokens/s", "TTFT mean", "end to end mean"}
    assert slow.too_slow(0.5) == ()
    assert fast.too_slow(0.05) == ()


def test_one_run_a_side_gives_hints_that_no_gate_stands_on() -> None:
    found = compare(record(), record("two", speed=0.8, seed=1))

    assert verdict(found, "output tokens/s") == "slower"
    assert verdict(found, "gap p99") == "not known"
    assert "a hint" in found.method
    assert found.too_slow(0.0) == ()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"requests": 41}, "requests"),
        ({"prompts": "code"}, "prompts"),
        ({"salt": False}, "salt"),
        ({"seed": 3}, "seed"),
    ],
)
def test_unlike_work_is_refused_and_the_difference_named(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(UsageError, match=f"{named}: "):
        compare(record(), with_workload(record("two"), **changed))


@pytest.mark.parametrize("changed", [{"repeats": 9}, {"workers": 2}, {"slo_ttft_ms": 5.0}, {"timeout_s": 3.0}])
def test_how_carefully_somebody_looked_is_no_other_work(changed: dict[str, Any]) -> None:
    assert compare(record(), with_workload(record("two"), **changed)).effects


def test_a_field_that_an_old_record_did_not_have_yet_is_its_default() -> None:
    old = dict(record().workload)
    del old["shared_prefix"]

    assert compare(record().model_copy(update={"asked_for": {"workload": old}}), record("two")).effects


def test_only_common_loads_are_compared() -> None:
    found = compare(record(loads=(1, 4)), record("two", loads=(4, 16)))

    assert {one.concurrency for one in found.effects} == {4}
    with pytest.raises(UsageError, match="no load in common"):
        compare(record(loads=(1,)), record("two", loads=(2,)))


@pytest.mark.parametrize("first", [True, False])
def test_failed_requests_are_no_baseline_and_nothing_to_compare(first: bool) -> None:  # noqa: FBT001
    sound, broken = record(), with_run(record("two"), failures={"cut": 3})

    with pytest.raises(BlockedError, match="3 requests failed"):
        compare(*((broken, sound) if first else (sound, broken)))


def test_a_busy_client_is_refused_with_its_reasons() -> None:
    client = record().runs[0].client.model_copy(update={"bound": True, "bound_reasons": ("97 % of a core",)})

    with pytest.raises(BlockedError, match="97 % of a core"):
        compare(with_run(record(), client=client), record("two"))


def test_an_incomplete_record_is_no_baseline_but_may_be_held_against_one() -> None:
    lacking = record("two", missing=["found_inside"], complete=False)

    with pytest.raises(BlockedError, match="incomplete"):
        compare(lacking, record())
    assert any("incomplete" in note for note in compare(record(), lacking).notes)


def test_every_difference_in_the_layers_is_named() -> None:
    other = record(
        "two", ran_on={"cpu": "another", "gpu": "one"}, found_inside={"engine": {"name": "toy", "version": "2"}}
    )

    told = {one.name: (one.a, one.b) for one in compare(record(), other).differences}

    assert told == {
        "asked_for.stack": ("one", "two"),
        "found_inside.engine.version": ("1", "2"),
        "ran_on.cpu": ("a processor", "another"),
        "ran_on.gpu": (None, "one"),
    }


def test_answers_of_other_lengths_are_said() -> None:
    found = compare(record(), with_run(record("two"), output_tokens=700))

    assert any("output tokens a request differ" in note for note in found.notes)


def test_a_reported_figure_is_shown_and_proves_nothing() -> None:
    reported = {"provenance": "reported", "what": "code", "tokens_per_s": {"low": 260, "mean": 262.9, "high": 264}}
    seed = record("seed", runs=[], reported=[reported], complete=False, missing=["ran_on"])

    found = compare(seed, record())

    assert found.effects == ()
    assert found.verdict == "not known"
    assert any("262.9 tokens/s (260 to 264)" in note for note in found.notes)


def test_a_comparison_is_json() -> None:
    told = json.loads(json.dumps(compare(record(repeats=3), record("two", repeats=3)).as_dict(), allow_nan=False))

    assert {"a", "b", "verdict", "effects", "differences", "method"} <= set(told)


def test_every_field_of_a_workload_is_work_or_known_not_to_be() -> None:
    """A new field makes old records unlike unless it has a default, with which they agree."""
    assert all(field.default is not dataclasses.MISSING for field in dataclasses.fields(Workload))


@pytest.mark.parametrize("paired", [True, False])
def test_intervals_of_repeats_hold_the_truth_as_often_as_they_say(paired: bool) -> None:  # noqa: FBT001
    draw, held = random.Random(3), 0  # noqa: S311 - the same each time
    for _ in range(250):
        drift = [draw.gauss(0, 0.3 * paired) for _ in range(4)]
        a = [100 * 2.718 ** (d + draw.gauss(0, 0.05)) for d in drift]
        b = [110 * 2.718 ** (d + draw.gauss(0, 0.08)) for d in drift]
        found = interval.of_repeats(a, b, paired=paired, sure=0.95)
        held += found is not None and found[0] <= 1.1 <= found[1]

    assert 0.92 <= held / 250 <= 0.99


def test_what_drifts_slowly_falls_out_of_neighbours() -> None:
    a, b = [100.0, 150.0, 220.0], [111.0, 165.0, 241.0]

    paired = interval.of_repeats(a, b, paired=True, sure=0.95)
    apart = interval.of_repeats(a, b, paired=False, sure=0.95)

    assert paired is not None
    assert apart is not None
    assert 1.08 < paired[0] < paired[1] < 1.13
    assert apart[0] < 1 < apart[1]


@pytest.mark.parametrize("size", [40, 400])
def test_intervals_of_requests_hold_the_truth_as_often_as_they_say(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interval, "RESAMPLES", 400)
    draw, held = random.Random(5), 0  # noqa: S311 - the same each time
    for number in range(60):
        sides = [[draw.gauss(mean, 10) for _ in range(size)] for mean in (100, 105)]
        first, second = (interval.of_means(side) for side in sides)
        assert first
        assert second
        low, high = interval.of_draws(first, second, sure=0.95, seed=str(number))
        held += low <= 1.05 <= high

    assert 0.85 <= held / 60 <= 1


def test_a_resampled_percentile_is_that_of_a_real_bootstrap() -> None:
    draw = random.Random(7)  # noqa: S311 - the same each time
    values = [draw.expovariate(1) for _ in range(600)]
    resample = interval.of_percentiles(values, 0.99)
    assert resample

    short_cut = sorted(resample(draw) for _ in range(1500))
    real = sorted(sorted(draw.choices(values, k=600))[593] for _ in range(1500))

    for share in (0.1, 0.5, 0.9):
        assert short_cut[int(share * 1500)] == pytest.approx(real[int(share * 1500)], rel=0.06)


def test_too_few_requests_have_no_interval() -> None:
    assert interval.of_means([1.0] * 7) is None
    assert interval.of_percentiles([1.0] * 100, 0.99) is None

"""The same wish is a variable for one version, a flag for another, and nothing at all for a third."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from blackstack import catalog
from blackstack.catalog import Stack
from blackstack.diagnose import signatures
from blackstack.engines import ENGINES
from blackstack.errors import UsageError
from blackstack.plan import Wishes
from blackstack.plan.extra import parse
from blackstack.trial import axes
from blackstack.trial.attempt import REFUSALS, used_in
from tests.unit.conftest import REPOSITORY


def stack_of(repository: Path, engine: str, version: str | None, *, gpu: bool = True) -> Stack:
    """The toy, as a stack of this engine and version."""
    toy = catalog.load(repository, "toy")
    needs = toy.x.needs.model_copy(update={"vram_gib": 24.0 if gpu else None})
    x = toy.x.model_copy(update={"engine": engine, "engine_version": version, "needs": needs})
    return dataclasses.replace(toy, x=x)


@pytest.mark.parametrize(
    ("version", "name", "extra"),
    [
        ("0.10.2", "TRITON_ATTN_VLLM_V1", "VLLM_ATTENTION_BACKEND=TRITON_ATTN_VLLM_V1"),
        ("0.11.0", "TRITON_ATTN", "VLLM_ATTENTION_BACKEND=TRITON_ATTN"),
        ("0.13.0", "FLASHINFER", "VLLM_ATTENTION_BACKEND=FLASHINFER"),
        ("0.14.0", "TRITON_ATTN", "--attention-backend TRITON_ATTN"),
        ("0.32.0", "FLASH_ATTN", "--attention-backend FLASH_ATTN"),
        ("0.33.0.dev12+gabc", "FLASH_ATTN", "--attention-backend FLASH_ATTN"),
        (None, "FLASH_ATTN", "--attention-backend FLASH_ATTN"),
        ("nightly-0123abcd", "FLASH_ATTN", "--attention-backend FLASH_ATTN"),
    ],
)
def test_vllm_is_told_as_its_version_understands_it(
    repository: Path, version: str | None, name: str, extra: str
) -> None:
    stack = stack_of(repository, "vllm", version)

    cells = {cell.label: cell for cell in axes.cells(stack, Wishes(), ["attention"])}

    assert cells[f"attention={name}"].wishes.extra == (extra,)
    assert next(iter(cells)) == axes.DEFAULT
    asked = {label: cell.evidence[0].asked for label, cell in cells.items()}
    assert (asked[axes.DEFAULT], asked[f"attention={name}"]) == (None, name)


def test_sglang_turns_graphs_off_in_another_way_from_0_5_20_on(repository: Path) -> None:
    old = axes.cells(stack_of(repository, "sglang", "0.5.5"), Wishes(), ["graphs"])[1]
    new = axes.cells(stack_of(repository, "sglang", "0.5.20"), Wishes(), ["graphs"])[1]

    assert old.wishes.extra == ("--disable-cuda-graph",)
    assert "--cuda-graph-backend-decode disabled" in new.wishes.extra[0]


@pytest.mark.parametrize("row", axes.rows(), ids=lambda row: f"{row.engine} {row.axis} {row.versions}")
def test_every_row_can_be_said_to_a_server(row: axes.Axis) -> None:
    assert row.engine in ENGINES
    assert row.source.startswith("https://")
    assert set(row.free) <= set(row.values)
    for name, value in row.values.items():
        assert parse([row.extra.replace("{value}", value)]), name


def test_no_two_rows_are_about_the_same(repository: Path) -> None:
    for engine in ENGINES:
        for version in ("0.10.0", "0.11.0", "0.13.0", "0.14.0", "0.32.0", "0.5.19", "0.5.20", "2026.10.11549"):
            for gpu in (True, False):
                stack = stack_of(repository, engine, version, gpu=gpu)
                found = [row.axis for row in axes.rows() if row.fits(stack)]
                assert len(found) == len(set(found)), (engine, version, gpu)


def test_a_wrong_axis_or_value_gets_the_nearest_name(repository: Path) -> None:
    stack = stack_of(repository, "vllm", "0.32.0")

    with pytest.raises(UsageError, match="did you mean 'attention'"):
        axes.cells(stack, Wishes(), ["atention"])
    with pytest.raises(UsageError, match="did you mean 'FLASHINFER'"):
        axes.cells(stack, Wishes(), ["attention"], ["FLASHINFR"])


def test_crossed_axes_try_each_value_with_each_of_the_others_and_look_for_both(repository: Path) -> None:
    stack = stack_of(repository, "vllm", "0.32.0")

    default, *cells = axes.cells(stack, Wishes(), ["attention", "graphs"], ["FLASHINFER", "TRITON_ATTN"], cross=True)

    assert default.label == axes.DEFAULT
    assert [one.asked for one in default.evidence] == [None, None]
    assert [cell.label for cell in cells] == [
        "attention=FLASHINFER graphs=on",
        "attention=FLASHINFER graphs=off",
        "attention=TRITON_ATTN graphs=on",
        "attention=TRITON_ATTN graphs=off",
    ]
    assert cells[1].wishes.extra == ("--attention-backend FLASHINFER", "--enforce-eager")
    assert [one.asked for one in cells[1].evidence] == ["FLASHINFER", "off"]


def test_an_axis_that_can_only_be_turned_off_is_crossed_as_it_is_too(repository: Path) -> None:
    sglang = stack_of(repository, "sglang", "0.5.5")

    cells = axes.cells(sglang, Wishes(), ["attention", "graphs"], ["triton"], cross=True)

    assert [cell.label for cell in cells] == [axes.DEFAULT, "attention=triton", "attention=triton graphs=off"]
    assert [cell.label for cell in axes.cells(sglang, Wishes(), ["graphs"], cross=True)] == [axes.DEFAULT, "graphs=off"]


def test_what_is_asked_for_besides_holds_in_every_cell(repository: Path) -> None:
    wishes = Wishes(overrides=("SLOTS=2",), extra=("--block-size 32",))

    for cell in axes.cells(stack_of(repository, "vllm", "0.32.0"), wishes, ["attention"]):
        assert cell.wishes.overrides == ("SLOTS=2",)
        assert cell.wishes.extra[0] == "--block-size 32"


@pytest.mark.parametrize(
    ("engine", "version", "gpu", "axis", "line", "used"),
    [
        # Printed by vLLM 0.32 on a CPU, here, when FLASH_ATTN was asked for.
        ("vllm", "0.32.0", False, "attention", "INFO [cpu.py:175] Cannot use FLASH_ATTN backend on CPU.", "CPU_ATTN"),
        ("vllm", "0.32.0", False, "attention", "nothing about it", "CPU_ATTN"),
        # By vLLM's source, and by threads that quote it.
        ("vllm", "0.32.0", True, "attention", "Using FLASHINFER backend.", "FLASHINFER"),
        (
            "vllm",
            "0.32.0",
            True,
            "attention",
            "Using FLASH_ATTN attention backend out of potential backends: ['FLASH_ATTN', 'FLASHINFER']",
            "FLASH_ATTN",
        ),
        ("vllm", "0.11.0", True, "attention", "(EngineCore) Using Flash Attention backend on V1 engine.", "FLASH_ATTN"),
        ("vllm", "0.11.0", True, "attention", "Using Triton backend on V1 engine.", "TRITON_ATTN"),
        ("vllm", "0.32.0", True, "attention", "Using backend FLASH_ATTN for vit attention", ""),
        ("vllm", "0.32.0", False, "graphs", "… enforce_eager=True, enable_return_routed_experts=False", "off"),
        ("vllm", "0.32.0", False, "kv", "kv_cache_dtype=fp8_e5m2, device_config=cpu", "fp8_e5m2"),
        ("sglang", "0.5.20", True, "attention", "server_args=ServerArgs(attention_backend='triton', x=1)", "triton"),
        # Printed by llama.cpp here, at verbosity 4.
        ("llamacpp", None, False, "attention", "I llama_context: flash_attn            = disabled", "off"),
        ("llamacpp", None, False, "attention", "I resolve_fused_ops: Flash Attention enabled", "on"),
        (
            "llamacpp",
            None,
            False,
            "kv",
            "llama_kv_cache: size =   34.45 MiB (  2048 cells,  30 layers,  1/1 seqs), K (q8_0):   11.95 MiB, V (f16)",
            "q8_0",
        ),
    ],
)
def test_the_log_tells_what_was_used(
    repository: Path, *, engine: str, version: str | None, gpu: bool, axis: str, line: str, used: str
) -> None:
    row = axes.axes_of(stack_of(repository, engine, version, gpu=gpu))[axis]

    assert used_in(row.evidence(None), ["something before", line, "something after"]) == used


def test_of_several_lines_the_last_one_counts(repository: Path) -> None:
    row = axes.axes_of(stack_of(repository, "llamacpp", None, gpu=False))["attention"]
    log = ["llama_context: flash_attn            = auto", "Flash Attention enabled", "Flash Attention was disabled"]

    assert used_in(row.evidence("on"), log) == "off"


def test_what_counts_as_a_refusal_is_known_to_the_diagnosis() -> None:
    assert {signature.code for signature in signatures.load().signatures} >= REFUSALS


@pytest.mark.parametrize("name", [name for name in catalog.names(REPOSITORY) if name != "simulator"])
def test_every_stack_has_something_to_switch(name: str) -> None:
    assert axes.DEFAULT_AXIS in axes.axes_of(catalog.load(REPOSITORY, name))


def test_a_stack_that_has_nothing_to_switch_says_so() -> None:
    with pytest.raises(UsageError, match="simulator has nothing to switch"):
        axes.cells(catalog.load(REPOSITORY, "simulator"), Wishes(), [axes.DEFAULT_AXIS])

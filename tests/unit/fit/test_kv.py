"""How engines lay tokens out: the sums of their own source, done by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from blackstack import fit
from blackstack.fit import kv

GIB = 1 << 30
GPT_OSS = fit.find_model("gpt-oss-20b", online=False)


def blocks(model: fit.Model, engine: str) -> kv.Blocks:
    cache = kv.cache_of(model, fit.engine(engine), element_bytes=2, batched_tokens=2048)
    assert isinstance(cache, kv.Blocks)
    return cache


def groups(model: fit.Model, engine: str) -> int:
    return sum(group.count for group in blocks(model, engine).groups)


def test_a_long_request_of_gpt_oss_takes_few_blocks_for_its_windows() -> None:
    # 131072 / 16 for the full layers; 127 + 2048 tokens, in 136 blocks, and one more, for the sliding ones.
    assert blocks(GPT_OSS, "vllm==0.23.0").blocks(131_072) == 8192 + 137


def test_two_batches_in_flight_keep_more_of_a_window() -> None:
    assert blocks(GPT_OSS, "vllm==0.26.0").blocks(131_072) == 8192 + 265


def test_a_request_shorter_than_its_window_takes_what_it_is_long() -> None:
    assert blocks(GPT_OSS, "vllm==0.23.0").blocks(64) == 4 + 5


def test_from_0_21_on_the_line_is_requests_times_their_length() -> None:
    count = int(13.746 * GIB) // 393_216

    assert blocks(GPT_OSS, "vllm==0.23.0").printed(13.746 * GIB, 131_072) == int(count / 8329 * 131_072)


@pytest.mark.parametrize(
    ("engine", "expected"),
    # vLLM's own example, gpt-oss with a drafter: 13 full and 12 sliding layers. The first versions split the 13 in two
    # groups of 12, later ones pad the 12.
    [("vllm==0.11.0", 3), ("vllm==0.14.1", 2), ("vllm==0.23.0", 2)],
)
def test_unequal_kinds_of_layers_are_split_or_padded_by_version(engine: str, expected: int) -> None:
    full = next(layer for layer in GPT_OSS.layers if not layer.window)

    assert groups(replace(GPT_OSS, layers=(*GPT_OSS.layers, full)), engine) == expected


def test_gemma_s_one_in_six_makes_seven_groups() -> None:
    # 62 layers: 10 full ones are the size of a group, 52 sliding ones fill six.
    assert groups(fit.find_model("gemma-3-27b", online=False), "vllm==0.11.0") == 7


def test_a_state_fills_a_page_of_attention() -> None:
    # vLLM says «Setting attention block size to 784 tokens» for this model in 16 bits, and 1568 in fp8.
    model = fit.find_model("Qwen3.5-27B", online=False)
    packed = kv.cache_of(model, fit.engine("vllm==0.19.0"), element_bytes=1, batched_tokens=2048)

    assert {group.block for group in blocks(model, "vllm==0.19.0").groups if group.kind == "full"} == {784}
    assert isinstance(packed, kv.Blocks)
    assert {group.block for group in packed.groups if group.kind == "full"} == {1568}


def test_a_latent_is_one_head_for_all() -> None:
    model = fit.find_model("DeepSeek-V2-Lite", online=False)

    assert kv.bytes_a_token(model, element_bytes=2) == 27 * (512 + 64) * 2


def test_sglang_gives_sliding_layers_four_fifths() -> None:
    cache = kv.cache_of(GPT_OSS, fit.engine("sglang==0.5.20"), element_bytes=2, batched_tokens=2048)

    assert cache.printed(GIB, 4096) == int(GIB / (24_576 + 0.8 * 24_576))


def test_llama_cpp_rounds_a_context_up() -> None:
    cache = kv.cache_of(
        fit.find_model("Qwen3-8B", online=False), fit.engine("llamacpp"), element_bytes=2, batched_tokens=1
    )

    assert cache.requests(256 * 147_456, 200) == pytest.approx(1.0)
    assert cache.printed(GIB, 1000) % 256 == 0

"""The given figures, and what the planner says of odd input."""

from __future__ import annotations

import json
import struct
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from blackstack import fit
from blackstack.errors import BlockedError, UsageError
from blackstack.fit import show, sources, weights
from blackstack.fit.gpus import GIB

LLAMA: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}


def folder(tmp_path: Path, **changes: object) -> str:
    config = {key: value for key, value in {**LLAMA, **changes}.items() if value is not ...}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return str(tmp_path)


def ask(model: str, **changes: Any) -> fit.Fit:  # noqa: ANN401 - any field of a question
    asked = {"gpu": "rtx-5090", "engine": "vllm==0.11.0", **changes}
    card, engine = fit.card(asked.pop("gpu")), fit.engine(asked.pop("engine"))
    return fit.estimate(fit.Ask(model=fit.find_model(model), card=card, engine=engine, **asked))


@pytest.mark.parametrize(
    ("model", "engine", "pool", "printed"),
    [
        ("gpt-oss-20b", "vllm==0.11.0", 13.746, 300_288),
        ("gpt-oss-20b", "vllm==0.11.0", 12.609, 275_440),
        ("SmolLM2-135M", "vllm==0.23.0", 69.1, 3_220_144),
    ],
)
def test_the_given_pools_hold_the_given_tokens(model: str, engine: str, pool: float, printed: int) -> None:
    assert ask(model, engine=engine, pool_gib=pool).printed == pytest.approx(printed, rel=0.0005)


def test_qwen3_32b_awq_has_the_given_bytes() -> None:
    found = ask("Qwen3-32B-AWQ").as_dict()

    assert found["checkpoint_gib"] == pytest.approx(18.0, abs=0.01)
    assert found["kv_bytes_per_token"] == 262_144


def test_a_token_of_gpt_oss_takes_the_given_bytes() -> None:
    assert ask("gpt-oss-20b").bytes_a_token == 49_152


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("SmolLM2-135M", 134_515_008),
        ("Llama-3.1-8B", 8_030_261_248),
        ("Qwen2.5-7B", 7_615_616_512),
        ("Qwen3-8B", 8_190_735_360),
        ("Qwen3-30B-A3B", 30_532_122_624),
        ("Mistral-7B-v0.3", 7_248_023_552),
        ("gemma-2-9b", 9_241_705_984),
    ],
)
def test_the_tensors_of_a_model_add_up_to_its_published_parameters(name: str, parameters: int) -> None:
    # The hub's own count, of the safetensors headers.
    assert sum(one.elements for one in weights.tensors(fit.find_model(name))) == parameters


def test_a_long_request_of_sliding_windows_holds_twice_what_the_line_says() -> None:
    found = ask("gpt-oss-20b", pool_gib=13.746, context=131_072)

    assert found.long_requests * 131_072 == pytest.approx(found.printed * 1.97, rel=0.01)


def test_marlin_pads_the_experts_and_hopper_s_kernel_does_not() -> None:
    padded = ask("gpt-oss-20b", gpu="rtx-5090").weights
    plain = ask("gpt-oss-20b", gpu="h200").weights

    assert padded / GIB == pytest.approx(13.7, abs=0.03)
    assert plain / GIB == pytest.approx(12.84, abs=0.03)


def test_262_9_tokens_a_second_are_55_percent_of_what_a_5090_can_do() -> None:
    model, card = fit.find_model("gpt-oss-20b"), fit.card("rtx-5090")
    bound = fit.ceiling(model, card, fit.engine("vllm==0.11.0").expert_padding(card.cc))

    assert 465 < bound.tokens_per_s < 485
    assert fit.share(262.9, bound) == pytest.approx(0.55, abs=0.015)


def test_the_answer_for_machines_begins_with_the_promised_keys() -> None:
    promised = "weights_gib kv_bytes_per_token kv_tokens_printed long_requests max_context roofline_tokens_per_s"

    found = ask("gpt-oss-20b").as_dict()

    assert list(found)[:8] == [*promised.split(), "fits", "flags"]
    assert found["flags"]["--max-model-len"] == "131072"
    assert json.loads(json.dumps(found)) == found


def test_the_files_of_a_folder_beat_the_shapes(tmp_path: Path) -> None:
    where = folder(tmp_path)
    header = json.dumps({"x": {"dtype": "BF16", "shape": [500], "data_offsets": [0, 1000]}}).encode()
    (tmp_path / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + bytes(1000))

    assert fit.find_model(where).checkpoint_bytes == 1000


def test_the_index_of_a_folder_beats_its_files(tmp_path: Path) -> None:
    where = folder(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {"total_size": 2_471_645_608}}))

    assert ask(where).checkpoint == 2_471_645_608


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"hidden_size": ...}, "no hidden_size"),
        ({"vocab_size": "many"}, "vocab_size"),
        ({"num_attention_heads": 0}, "num_attention_heads"),
        ({"num_hidden_layers": True}, "num_hidden_layers"),
        ({"architectures": []}, "names no architecture"),
        ({"architectures": ["MambaForCausalLM"]}, "MambaForCausalLM is not known"),
        ({"torch_dtype": "int3"}, "int3"),
        ({"quantization_config": {"quant_method": "magic"}}, "magic"),
        ({"architectures": ["Gemma3ForCausalLM"], "sliding_window": 512, "layer_types": ["x"]}, "layer_types"),
    ],
)
def test_a_config_that_lies_is_refused_by_name(tmp_path: Path, changes: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        fit.find_model(folder(tmp_path, **changes))


def test_an_unknown_architecture_can_be_taken_for_a_known_one(tmp_path: Path) -> None:
    where = folder(tmp_path, architectures=["LlamaLikeForCausalLM"])

    with pytest.raises(UsageError) as error:
        fit.find_model(where)

    assert "--assume LlamaForCausalLM" in str(error.value)
    assert fit.find_model(where, assume="LlamaForCausalLM").vocabulary == 128256


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_what_is_no_config_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "config.json").write_text(text)

    with pytest.raises(UsageError):
        fit.find_model(str(tmp_path))


@pytest.mark.parametrize(
    ("typed", "meant"), [("gpt-os-20b", "gpt-oss-20b"), ("qwen3-32-awq", "Qwen3-32B-AWQ"), ("smollm2", "SmolLM2-135M")]
)
def test_a_mistyped_model_gets_the_nearest(typed: str, meant: str) -> None:
    with pytest.raises(UsageError, match=meant):
        fit.find_model(typed)


def test_a_hub_that_cannot_be_reached_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "_HUB", "https://127.0.0.1:9")

    with pytest.raises(BlockedError, match="not in our catalogue"):
        fit.find_model("some/model")


def test_no_key_of_the_hub_goes_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, str] = {}
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.invalid")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")

    def refuse(asked: urllib.request.Request, **_: object) -> None:
        seen.update(asked.header_items())
        raise OSError("no network in this test")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)

    with pytest.raises(BlockedError, match="some/model"):
        fit.find_model("some/model")

    assert "Authorization" not in seen


@pytest.mark.parametrize("name", ["RTX 5090", "NVIDIA GeForce RTX 5090", "5090", "rtx5090"])
def test_a_card_goes_by_many_names(name: str) -> None:
    assert fit.card(name).name == "rtx-5090"


def test_a_driver_s_memory_counts_more_than_the_data_sheet() -> None:
    half = fit.gpus.with_memory("NVIDIA GeForce RTX 5090", 16_384)

    assert half.usable_gib == pytest.approx(16 - (32_607 / 1024 - 31.37))


@pytest.mark.parametrize(("typed", "told"), [("vlm", "vllm"), ("vllm==x", "no version"), ("vllm==0.1", "begin with")])
def test_an_engine_that_is_none_is_refused(typed: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        fit.engine(typed)


def test_rules_change_at_the_version_at_which_the_engine_s_did() -> None:
    before, after = (fit.engine(f"vllm=={version}") for version in ("0.20.2", "0.21.0"))

    assert (before.printed, after.printed) == ("even", "concurrency")
    assert not before.graph_bytes < 0 < after.graph_bytes - 1
    assert fit.engine("vllm==0.19.1").utilisation == 0.9
    assert fit.engine("vllm==0.21.0rc1+cu129").printed == "concurrency"


@pytest.mark.parametrize(
    ("quantisation", "gib"),
    [
        ({}, 2.302),
        ({"quant_method": "fp8"}, 1.397),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, 1.396),
        ({"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}, 0.961),
        ({"quant_method": "gptq", "bits": 8, "group_size": 32}, 1.482),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, 1.0),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, 0.999),
        (
            {
                "quant_method": "compressed-tensors",
                "format": "nvfp4-pack-quantized",
                "ignore": ["lm_head", "re:.*down_proj"],
                "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "float"}}},
            },
            1.359,
        ),
    ],
)
def test_a_quantisation_takes_its_bits_its_scales_and_leaves_the_embedding(
    tmp_path: Path, quantisation: dict[str, object], gib: float
) -> None:
    # Llama 3.2 1B: 0.973 G elements in the layers' matrices, 0.263 G in the embedding, which stays in 16 bits.
    found = ask(folder(tmp_path, quantization_config=quantisation or ...))

    assert found.checkpoint / GIB == pytest.approx(gib, rel=0.003)


@pytest.mark.parametrize("model", ["gpt-oss-20b", "Qwen3-32B", "SmolLM2-135M"])
@pytest.mark.parametrize("gpu", ["rtx-5090", "h200", "rtx-5070"])
def test_an_answer_is_one_screen(model: str, gpu: str) -> None:
    screen = list(show.lines(ask(model, gpu=gpu)))

    assert len(screen) < 24
    assert max(map(len, screen)) <= 120


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"context": 10**9}, "was made for"),
        ({"utilisation": 1.5}, "utilization"),
        ({"kv_dtype": "int2"}, "int2"),
        ({"tensor_parallel": 7}, "--tp 7"),
    ],
)
def test_a_question_that_cannot_be_meant_is_refused(changes: dict[str, object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        ask("gpt-oss-20b", **changes)


@pytest.mark.parametrize(
    ("engine", "dtype", "own"),
    [("vllm", "q8_0", "fp8"), ("sglang", "float16", "fp8_e4m3"), ("llamacpp", "fp8", "q8_0")],
)
def test_a_cache_type_of_another_engine_is_refused_with_the_engine_s_own(engine: str, dtype: str, own: str) -> None:
    with pytest.raises(UsageError, match=f"{engine} has no --kv-dtype {dtype}") as caught:
        ask("SmolLM2-135M", engine=engine, kv_dtype=dtype)

    assert own in str(caught.value)


def test_sglang_is_told_the_only_name_of_fp8_that_its_flag_takes() -> None:
    assert ask("SmolLM2-135M", engine="sglang", kv_dtype="fp8").flags["--kv-cache-dtype"] == "fp8_e4m3"


def test_too_many_requests_are_told_how_many_fit() -> None:
    told = "\n".join(show.lines(ask("gpt-oss-20b", context=8192, concurrency=100_000)))

    assert "not one token" not in told
    assert "of that length do" in told

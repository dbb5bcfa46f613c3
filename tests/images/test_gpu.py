"""What is true of every GPU stack's image, whatever engine is inside; nothing here needs the GPU."""

from __future__ import annotations

import ctypes
import importlib.util
import itertools
import os
import shutil
import sysconfig
import unittest
from pathlib import Path

import gpu
import stack

ARCHITECTURE = "sm_120"


class Torch(unittest.TestCase):
    def test_it_is_built_for_the_cuda_that_was_asked_for_and_for_this_card(self) -> None:
        asked = gpu.seal()["asked"]
        assert isinstance(asked, dict)

        told = gpu.run("import torch; print(torch.__version__, torch.version.cuda, torch._C._cuda_getArchFlags())")

        version, cuda, *architectures = told.split()
        self.assertEqual(asked["torch"], version.partition("+")[0])
        self.assertEqual(asked["cuda"], cuda)
        self.assertIn(ARCHITECTURE, architectures)


class Seal(unittest.TestCase):
    def test_it_says_what_is_installed(self) -> None:
        packages = gpu.seal()["packages"]
        assert isinstance(packages, dict)

        self.assertEqual(stack.pins(), {name: version.partition("+")[0] for name, version in packages.items()})

    def test_the_audit_passed(self) -> None:
        audit = gpu.seal()["audit"]
        assert isinstance(audit, dict)

        if str(audit["verdict"]).startswith("not run"):
            self.skipTest(f"the audit was {audit['verdict']}; `inv build` gives it")
        self.assertEqual(("passed", "12.0"), (audit["verdict"], audit["gpu"]))


class System(unittest.TestCase):
    def test_libnuma_is_here(self) -> None:
        ctypes.CDLL("libnuma.so.1")

    def test_triton_finds_what_it_compiles_its_launchers_with(self) -> None:
        self.assertTrue(shutil.which("gcc"))
        self.assertTrue(Path(sysconfig.get_paths()["include"], "Python.h").is_file())

    def test_pip_stayed_behind(self) -> None:
        self.assertEqual("", gpu.version("pip"))
        self.assertFalse(Path("/opt/pip/bin/pip").exists())
        self.assertEqual([], [str(path) for path in Path("/opt/venv/bin").glob("pip*")])


class FlashInfer(unittest.TestCase):
    def test_what_is_switched_on_can_be_compiled_here(self) -> None:
        """It is Python that compiles with nvcc when it is first used; its cubins on PyPI are for other cards."""
        self.assertIsNotNone(importlib.util.find_spec("flashinfer"))
        flags = gpu.command()
        attention = ("--attention-backend", "flashinfer") in itertools.pairwise(flags)

        if os.environ.get("VLLM_USE_FLASHINFER_SAMPLER", "0") == "1" or attention:
            self.assertTrue(gpu.nvcc(), "FlashInfer is switched on, and there is no nvcc")
            self.assertTrue(shutil.which("g++"))

    def test_its_parts_are_of_one_version(self) -> None:
        versions = {gpu.version(name) for name in ("flashinfer-python", "flashinfer-cubin", "flashinfer-jit-cache")}

        self.assertEqual(1, len(versions - {""}), versions)


@unittest.skipUnless(gpu.has_gpu(), "there is no GPU here: nothing can be served")
class Server(unittest.TestCase):
    def test_it_answers(self) -> None:
        """With a GPU, `inv up` asks for a real completion; here it is enough that torch sees the card."""
        told = gpu.run("import torch; print(*torch.cuda.get_device_capability())")

        self.assertEqual("12 0", told.strip())


if __name__ == "__main__":
    unittest.main()

"""What is true of every stack's image or environment, whatever engine is inside."""

from __future__ import annotations

import importlib.metadata
import os
import tempfile
import unittest
from pathlib import Path

import stack

CACHES = {
    *("HOME", "XDG_CACHE_HOME", "HF_HOME", "VLLM_CACHE_ROOT", "TRITON_CACHE_DIR"),
    *("TORCHINDUCTOR_CACHE_DIR", "FLASHINFER_WORKSPACE_BASE", "CUDA_CACHE_PATH"),
}


class Packages(unittest.TestCase):
    def test_everything_pinned_is_installed_in_that_version(self) -> None:
        wanted = stack.pins()
        self.assertTrue(wanted, f"no pins found in {stack.STACK}")

        found = {}
        for name in wanted:
            try:
                found[name] = importlib.metadata.version(name)
            except importlib.metadata.PackageNotFoundError:
                found[name] = "not installed"

        self.assertEqual(wanted, found)


@unittest.skipUnless(stack.IN_IMAGE, "not in an image: a process runs as whoever starts it, from the checkout")
class Image(unittest.TestCase):
    def test_the_server_is_not_root(self) -> None:
        self.assertNotEqual(0, os.getuid())

    @unittest.skipUnless((stack.STACK / "serve.py").is_file(), "the engine's own command is the launcher")
    def test_the_launcher_is_the_one_of_the_checkout(self) -> None:
        self.assertEqual(
            (stack.STACK / "serve.py").read_bytes(),
            stack.LAUNCHER.read_bytes(),
            "the image is old: build it again",
        )

    def test_no_build_secret_stayed_behind(self) -> None:
        self.assertEqual([], list(Path("/run/secrets").glob("*")))


class Folders(unittest.TestCase):
    def test_every_cache_folder_can_be_written_to(self) -> None:
        for variable in CACHES & os.environ.keys():
            with self.subTest(variable):
                folder = os.environ[variable]
                Path(folder).mkdir(parents=True, exist_ok=True)
                with tempfile.NamedTemporaryFile(dir=folder):
                    pass


if __name__ == "__main__":
    unittest.main()

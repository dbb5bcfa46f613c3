"""Turn a GGUF file into a Hugging Face folder: bfloat16 safetensors, configuration, tokenizer, chat template.

vLLM's CPU backend reads no GGUF, and there may be no network to take the original weights from. The folder
appears whole or not at all: it is made beside its place and renamed, so that a killed conversion is never
mistaken for a model.
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import sys
import tempfile
from pathlib import Path

PACKAGE = "package:"


class ModelError(Exception):
    """The model cannot be converted; the message is a sentence for the user."""


def folder_of(name: str, models: Path) -> Path:
    """Name the folder under `models` into which the GGUF file `name` is converted."""
    return models / Path(name.removeprefix(PACKAGE)).stem


def gguf_path(name: str) -> Path:
    """Find the GGUF file that `name` means: a path, or ``package:NAME/FILE`` inside a Python package.

    Raises:
        ModelError: when there is no such package or file, or it is no GGUF file.
    """
    path = Path(name)
    if name.startswith(PACKAGE):
        package, _, file = name.removeprefix(PACKAGE).partition("/")
        spec = importlib.util.find_spec(package)  # not imported: it may need what is not installed
        if spec is None or not spec.submodule_search_locations:
            raise ModelError(f"{sys.executable} has no package {package!r} to take the model {file!r} from")
        path = Path(spec.submodule_search_locations[0], file)
    try:
        with path.open("rb") as file_object:
            magic = file_object.read(4)
    except OSError as error:
        raise ModelError(f"cannot read the model file {path}: {error.strerror}") from None
    if magic != b"GGUF":
        raise ModelError(f"{path} is not a GGUF file: it starts with {magic!r}, not with b'GGUF'")
    return path


def dequantise(name: str, models: Path) -> Path:
    """Convert the GGUF file that `name` means, unless that was done before, and return its folder."""
    folder = folder_of(name, models)
    if folder.is_dir():
        return folder
    gguf = gguf_path(name)
    models.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=models))
    try:
        _convert(gguf, unfinished)
        _let_everybody_read(unfinished)
        unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _let_everybody_read(folder: Path) -> None:
    # mkdtemp and safetensors write for their owner only, and a server may run as somebody else.
    folder.chmod(0o755)
    for file in folder.iterdir():
        file.chmod(0o644)


def _convert(gguf: Path, folder: Path) -> None:
    # Seconds to import, and not needed when the folder is there already.
    import torch  # noqa: PLC0415
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig  # noqa: PLC0415

    source = {"pretrained_model_name_or_path": gguf.parent, "gguf_file": gguf.name}
    try:
        dense = GgufConfig(dequantize=True)  # otherwise the weights stay in GGUF blocks, which cannot be saved
        model = AutoModelForCausalLM.from_pretrained(**source, dtype=torch.bfloat16, quantization_config=dense)
        tokenizer = AutoTokenizer.from_pretrained(**source)
    except (ValueError, OSError, KeyError) as error:
        raise ModelError(f"{gguf} could not be converted, it may be truncated: {error}") from error
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def main() -> int:
    """Convert one file, say where it is, and return the exit code."""
    parser = argparse.ArgumentParser(description="Turn a GGUF file into a Hugging Face folder, once.")
    parser.add_argument("--model", required=True, help=f"a GGUF file, or {PACKAGE}NAME/FILE inside a package")
    parser.add_argument("--models", required=True, type=Path, help="the folder that converted models live in")
    args = parser.parse_args()
    try:
        folder = dequantise(args.model, args.models)
    except ModelError as error:
        sys.stderr.write(f"dequantise.py: {error}\n")
        return 1
    sys.stdout.write(f"{folder}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

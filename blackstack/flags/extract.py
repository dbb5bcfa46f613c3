"""A wheel of an engine → the flags and variables that this very version knows, without a GPU.

Standard library only: it runs in a throw-away environment, beside the engine (`nox -s parsers -- vllm==0.33.0`)::

    python extract.py --requirements WHEEL        # what that environment needs; kernels for GPUs are left out
    python extract.py WHEEL --out FOLDER          # writes FOLDER/ENGINE-VERSION.json
    python extract.py --installed vllm            # prints the same of what is installed, in an image, say
    python extract.py --script serve.py --version V --out FOLDER     # our own server for llama.cpp

The engine's own code makes its own parser; what is written down is read off that object. PyTorch is its CPU build.
A module that the environment lacks is stood in for only where the import of the parser fails without it, and the
data says which (``stood_in``).
"""

from __future__ import annotations

import argparse
import ast
import datetime as dt
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import platform
import re
import subprocess  # noqa: TID251 - stands alone, without blackstack.shell: runs itself, as a list
import sys
import tempfile
import types
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any, NoReturn

METHOD = (
    "the wheel's own code made its own argparse object (torch is the CPU build, no driver, no GPU), and its option "
    "strings, types, choices and nargs were read off that object; the type of a value was found by calling the "
    "object's own type function with samples"
)
MISSING = 75  # EX_TEMPFAIL: the parser cannot be made without the module named on standard output
PREFIXES = {"vllm": r"VLLM_", "sglang": r"(?:SGLANG|SGL)_", "llamacpp": r"LLAMA_"}
# Compiled for GPUs, or large and not needed to make a parser.
LEFT_OUT = re.compile(
    r"(torch\w*|torch[-_]memory[-_]saver|xformers|ray|xgrammar|numba|opencv.*|scipy|triton|compressed.tensors|depyf"
    r"|ninja|lm.format.*|nvidia.*|cuda.*|nvshmem.*|flash.*|sgl.*|quack.*|tilelang|humming.*|tokenspeed.*|pynvvideocodec"
    r"|fastsafetensors|instanttensor|nvtx|apache.tvm.ffi|outlines|timm|tml.*|deepseek.*|smg.*|blobfile|av|decord2"
    r"|modelscope|datasets|kernels|soundfile|py.spy|grpcio.*|llguidance|model.hosting.*)",
    re.IGNORECASE,
)
SAMPLES = {"text": "abc", "whole": "3", "number": "0.5", "size": "2k", "json": '{"a": 1}'}
_HELP_KEPT = 400  # characters of a help text that are kept, where it says that a flag is deprecated


def flags_of(parser: argparse.ArgumentParser) -> list[dict[str, Any]]:
    """Return each option of a parser as data, by its first name."""
    by_action: dict[int, tuple[argparse.Action, list[str]]] = {}
    for name, action in parser._option_string_actions.items():  # noqa: SLF001 - what argparse itself matches against
        by_action.setdefault(id(action), (action, []))[1].append(name)
    flags = [_described(parser, action, names) for action, names in by_action.values()]
    return sorted(flags, key=lambda flag: str(flag["names"][0]).lstrip("-"))


def positionals_of(parser: argparse.ArgumentParser) -> list[dict[str, Any]]:
    """Return the positional arguments of a parser."""
    return [{"name": a.dest, "nargs": a.nargs} for a in parser._get_positional_actions()]  # noqa: SLF001


def serve_refuses(parser: argparse.ArgumentParser) -> dict[str, bool]:
    """Say what vLLM's parser refuses behind `serve` before argparse sees it, by trying it on one of its kind."""
    if type(parser).__name__ != "FlexibleArgumentParser":
        return {}
    tried = {
        "serve_wants_model_first": ["serve", "--port", "1", "model", "--served-model-name", "name"],
        "serve_refuses_model_flag": ["serve", "--model", "model"],
    }
    return {name: _refused(type(parser)(add_help=False), words) for name, words in tried.items()}


def _refused(parser: argparse.ArgumentParser, words: list[str]) -> bool:
    for name in ("--port", "--model", "--served-model-name"):
        parser.add_argument(name)
    parser.add_argument("words", nargs="*")
    try:
        parser.parse_args(words)
    except ValueError:
        return True
    except SystemExit:
        return False  # that is argparse itself, which has the whole parser where it matters
    return False


def kind_of(convert: object) -> str:
    """Say what a type function takes, by giving it samples; ``free`` takes anything, ``own`` none of ours."""
    if convert is None or convert is str:
        return "free"
    if not callable(convert):
        return "own"
    taken = {kind for kind, sample in SAMPLES.items() if _takes(convert, sample)}
    if "text" in taken:
        return "free"
    for kind in ("json", "size", "number", "whole"):
        if kind in taken:
            return kind
    return "own"


def _takes(convert: Callable[[str], object], sample: str) -> bool:
    try:
        convert(sample)
    except Exception:  # noqa: BLE001 - a foreign function: whatever it raises is its no
        return False
    return True


def _described(parser: argparse.ArgumentParser, action: argparse.Action, names: list[str]) -> dict[str, Any]:
    flag: dict[str, Any] = {"names": names, "nargs": action.nargs, "kind": kind_of(action.type)}
    if isinstance(action, argparse._StoreTrueAction | argparse._StoreFalseAction | argparse._StoreConstAction):  # noqa: SLF001
        flag["kind"] = "free"
    if action.choices is not None:
        flag["choices"] = sorted(str(getattr(choice, "value", choice)) for choice in action.choices)
    if isinstance(action, argparse._AppendAction):  # noqa: SLF001
        flag["repeats"] = True
    if action.required:
        flag["required"] = True
    if flag["kind"] not in {"free", "own"} and callable(action.type) and _takes(action.type, "None"):
        flag["none"] = True
    flag["default"] = type(action.default).__name__
    if note := _deprecation(parser, action):
        flag["deprecated"] = note
    return flag


def _deprecation(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Return what the engine says of a flag that will go, or nothing."""
    help_text = " ".join(str(action.help or "").split())
    marked = getattr(action, "deprecated", False) or action in getattr(parser, "_deprecated", ())
    kind = type(action).__name__
    if new := getattr(action, "new_flag", None):
        return f"use {new} instead"
    if error := getattr(action, "error_message", None):
        return str(error)
    if marked or kind.startswith("Deprecated") or re.match(r"[(\[]?deprecated", help_text, re.IGNORECASE):
        return help_text[:_HELP_KEPT] or "the engine marks it as deprecated"
    return ""


class Captured(Exception):  # noqa: N818 - not a failure: it carries the parser out of the program that made it
    """Holds the parser that a program was about to parse with."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def captured(run: Callable[[], object]) -> argparse.ArgumentParser:
    """Run a program until it parses its command line, and return the parser.

    Raises:
        RuntimeError: it never did.
    """

    def give(parser: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        raise Captured(parser)

    keep = argparse.ArgumentParser.parse_args
    argparse.ArgumentParser.parse_args = give  # type: ignore[assignment]
    try:
        run()
    except Captured as caught:
        return caught.parser
    finally:
        argparse.ArgumentParser.parse_args = keep  # type: ignore[method-assign]
    raise RuntimeError("the program parsed no command line")


def _where(folder: Path, pattern: str, text: str) -> types.ModuleType:
    """Import the module of the tree that holds a text; releases move it about."""
    for path in sorted(folder.glob(pattern)):
        if text in path.read_text(encoding="utf-8"):
            words = [folder.name, *path.relative_to(folder).with_suffix("").parts]
            return importlib.import_module(".".join(words).removesuffix(".__init__"))
    raise RuntimeError(f"{text!r} stands in none of {folder.name}/{pattern}")


def vllm(folder: Path) -> tuple[argparse.ArgumentParser, Sequence[str]]:
    """Make the parser of `vllm serve`, and list the variables of its registry."""
    # Without a driver the platform is unknown, and defaults that ask for it raise «Failed to infer device type».
    platforms = importlib.import_module("vllm.platforms")
    if not platforms.current_platform.device_type:
        platforms.current_platform.device_type = "cuda"
    kind = _where(folder, "utils/*.py", "class FlexibleArgumentParser").FlexibleArgumentParser
    make = _where(folder, "entrypoints/**/cli_args.py", "def make_arg_parser").make_arg_parser
    return make(kind(prog="vllm serve")), tuple(importlib.import_module("vllm.envs").environment_variables)


def sglang(folder: Path) -> tuple[argparse.ArgumentParser, Sequence[str]]:
    """Make the parser of `sglang serve`, and list the variables of its registry, where it has one."""
    prepare = importlib.import_module("sglang.srt.server_args").prepare_server_args
    parser = captured(lambda: prepare(["--model-path", "model"]))
    registered = (folder / "srt/environ.py").is_file()
    fields = vars(importlib.import_module("sglang.srt.environ").Envs) if registered else {}
    return parser, tuple(name for name in fields if name.isupper())


PARSERS: Mapping[str, Callable[[Path], tuple[argparse.ArgumentParser, Sequence[str]]]] = {
    "vllm": vllm,
    "sglang": sglang,
}


def named_variables(folder: Path, prefix: str) -> Iterator[str]:
    """Yield the variables that the source names as whole strings: what is read without a registry."""
    whole = re.compile(prefix + r"[A-Z0-9_]+")
    for path in folder.rglob("*.py"):
        text = path.read_text(encoding="utf-8", errors="replace")
        if re.search(prefix, text):
            yield from (
                node.value
                for node in ast.walk(ast.parse(text))
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and whole.fullmatch(node.value)
            )


def data_of(engine: str, version: str, parser: argparse.ArgumentParser, **more: object) -> dict[str, Any]:
    """Return all that is written down of a version."""
    return {
        "engine": engine,
        "version": version,
        **more,
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "python": platform.python_version(),
        "allow_abbrev": parser.allow_abbrev,
        # vLLM's own parser takes `_` for `-` in names, and `--flag.key value` for JSON.
        "flexible": type(parser).__name__ == "FlexibleArgumentParser",
        "positionals": positionals_of(parser),
        **serve_refuses(parser),
        "flags": flags_of(parser),
    }


class StandIn(type):
    """A class that is whatever it is asked to be: a base, a decorator, a value, a type."""

    def __getattr__(cls, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return StandIn(name, (), {})

    def __call__(cls, *args: object, **kwargs: object) -> object:
        """Return what is decorated, or another stand-in."""
        if len(args) == 1 and not kwargs and isinstance(args[0], types.FunctionType | type):
            return args[0]  # used as a decorator
        return StandIn(cls.__name__, (), {})

    def __or__(cls, _: object) -> StandIn:
        return cls

    def __ror__(cls, _: object) -> StandIn:
        return cls

    def __getitem__(cls, key: object) -> object:
        return cls


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds the modules that are stood in for."""

    def __init__(self, tops: Sequence[str]) -> None:
        self.tops = set(tops)

    def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
        """Find a module by its first word."""
        top = name.partition(".")[0]
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if top in self.tops else None

    def exec_module(self, module: types.ModuleType) -> None:
        """Fill the module: every attribute is a stand-in."""
        module.__dict__["__version__"] = "999"
        module.__dict__["__getattr__"] = lambda name: StandIn.__getattr__(StandIn(module.__name__, (), {}), name)


def requirements(wheel: Path) -> list[str]:
    """Return what a wheel asks for, kernels for GPUs and what is large left out."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().split("\n\n", 1)[0].splitlines()
    wanted = []
    for line in lines:
        if line.startswith("Requires-Dist: "):
            requirement, _, marker = line.removeprefix("Requires-Dist: ").partition(";")
            extra = re.search(r"extra == ['\"]([\w-]+)", marker)
            bare = re.match(r"[\w.-]+", requirement)
            if bare and not LEFT_OUT.fullmatch(bare[0]) and (not extra or extra[1] == "runtime-common"):
                kept = "" if extra else marker
                wanted.append(requirement.strip() + (f"; {kept.strip()}" if kept else ""))
    return [requirement for requirement in wanted if not requirement.startswith("sglang")]


def unpack(wheel: Path, folder: Path) -> None:
    """Unpack the Python files of a wheel; its kernels are gigabytes and need a driver."""
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            if name.endswith((".py", ".json", "METADATA")):
                archive.extract(name, folder)  # zipfile strips `..` and leading slashes


def inside(folder: Path, engine: str, stood_in: Sequence[str]) -> dict[str, Any]:
    """Make the parser of an unpacked wheel, in this process."""
    sys.path.insert(0, str(folder))
    sys.meta_path.append(StandIns(stood_in))
    return _made(folder / engine, stood_in)


def from_installed(engine: str) -> dict[str, Any]:
    """Extract what is installed here, with nothing stood in for: the truth to hold the other way against."""
    (folder,) = importlib.import_module(engine).__path__
    return {**_made(Path(folder), ()), "version": importlib.import_module(engine).__version__}


def _installed(name: str) -> str:
    try:
        return version_of(name)
    except PackageNotFoundError:
        return ""


def _made(folder: Path, stood_in: Sequence[str]) -> dict[str, Any]:
    engine = folder.name
    parser, registry = PARSERS[engine](folder)
    named = set(named_variables(folder, PREFIXES[engine])) - set(registry)
    more = {"torch": _installed("torch"), "stood_in": sorted(stood_in)}
    return {**data_of(engine, "", parser, **more), "variables": sorted(registry), "also_named": sorted(named)}


def from_wheel(wheel: Path) -> dict[str, Any]:
    """Extract a wheel; each try is a process of its own, because a failed import leaves traces.

    Raises:
        RuntimeError: the parser cannot be made, with what the engine said.
    """
    package, version = wheel.name.split("-")[:2]
    engine = package.partition("_")[0]
    stood_in: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        unpack(wheel, Path(folder))
        while True:
            argv = [sys.executable, __file__, "--inside", folder, engine, ",".join(stood_in)]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)  # noqa: S603
            if done.returncode != MISSING:
                break
            lacking = done.stdout.strip().splitlines()[-1]
            if lacking in stood_in or lacking == engine:
                raise RuntimeError(f"a stand-in for {lacking} does not do:\n{done.stderr}")
            stood_in.append(lacking)
        if done.returncode:
            raise RuntimeError(f"{wheel.name}: {done.stderr}")
    data: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    return {**data, "version": version, "source": f"{wheel.name} sha256:{digest}", "method": METHOD}


def from_script(script: Path, version: str) -> dict[str, Any]:
    """Extract one of our own servers, whose ``parse`` makes the parser."""
    spec = importlib.util.spec_from_file_location("script", script)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{script} cannot be imported")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    parser = captured(lambda: module.parse([]))
    data = data_of("llamacpp", version, parser)
    variables = sorted(set(named_variables(script.parent, PREFIXES["llamacpp"])))
    source = "/".join(script.resolve().parts[-3:])
    return {**data, "source": source, "method": METHOD, "variables": variables, "also_named": []}


def written(data: Mapping[str, Any]) -> str:
    """Return the data as JSON with one flag a line, so that a change of one is a change of one line."""
    lines = [f"  {json.dumps(key)}: {json.dumps(value)}" for key, value in data.items() if key != "flags"]
    flags = ",\n".join(f"    {json.dumps(flag)}" for flag in data["flags"])
    return "{\n" + ",\n".join(lines) + ',\n  "flags": [\n' + flags + "\n  ]\n}\n"


def _inside_main(words: Sequence[str]) -> int:
    folder, engine, stood_in = words
    try:
        data = inside(Path(folder), engine, [word for word in stood_in.split(",") if word])
    except ModuleNotFoundError as error:
        print(str(error.name).partition(".")[0])  # noqa: T201 - standard output is how it answers
        sys.stderr.write(f"{error}\n")
        return MISSING
    print(json.dumps(data))  # noqa: T201
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the data of a wheel or a script, or print what its environment needs."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words[:1] == ["--inside"]:
        return _inside_main(words[1:])
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", maxsplit=1)[0])
    parser.add_argument("wheel", type=Path, nargs="?")
    parser.add_argument("--requirements", action="store_true")
    parser.add_argument("--installed", metavar="ENGINE", help="print the data of what is installed here")
    parser.add_argument("--script", type=Path)
    parser.add_argument("--version")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("data"))
    options = parser.parse_args(words)
    if options.requirements:
        print("\n".join(requirements(options.wheel)))  # noqa: T201
        return 0
    if options.installed:
        print(written(from_installed(options.installed)))  # noqa: T201
        return 0
    data = from_script(options.script, options.version) if options.script else from_wheel(options.wheel)
    path = options.out / f"{data['engine']}-{data['version']}.json"
    path.write_text(written(data), encoding="utf-8")
    count, variables = len(data["flags"]), len(data["variables"]) + len(data["also_named"])
    print(f"wrote {path}: {count} flags, {variables} variables; stood in for {data.get('stood_in', [])}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())

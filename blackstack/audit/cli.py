"""The command: what to look at, for which GPU, and how to say it. Exit code 1: something will fail."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from blackstack.audit import image, wheels
from blackstack.audit.arch import cuda_of_driver, gpu_version
from blackstack.audit.evidence import Question
from blackstack.audit.examine import examine
from blackstack.audit.features import features
from blackstack.audit.findings import findings
from blackstack.audit.model import Report
from blackstack.audit.report import render
from blackstack.audit.sarif import sarif
from blackstack.audit.target import TargetError, of_python, of_root, of_site

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blackstack.audit.arch import Version
    from blackstack.audit.target import Target

EPILOG = """\
exit code: 0 nothing found that would fail, 1 something will not load or run, 2 it cannot be meant that way,
or what is to be audited cannot be had

  python -m blackstack.audit --python .venv/bin/python --gpu rtx-5090
  python -m blackstack.audit --image vllm/vllm-openai:v0.11.0 --driver 570.133
  python -m blackstack.audit --wheels "torch==2.8.0 vllm==0.11.0" --json
"""
# What helps where the target of a flag cannot be had.
NEXT = {
    "site": "--site takes a folder of packages, such as .venv/lib/python3.12/site-packages",
    "python": "--python takes the path of an environment's interpreter, such as .venv/bin/python",
    "root": "--root takes an unpacked image with a Python in it; for an image: --image REF",
    "image": "--image takes a name that `docker images` lists, or a file that `docker save` wrote",
    "wheels": "--wheels takes what `pip download` would, such as 'torch==2.8.0 vllm==0.11.0', or .whl files",
}


def audit(target: Target, question: Question | None = None) -> Report:
    """Audit one environment and return the report."""
    environment = examine(target, question or Question())
    torch = environment.torch
    return Report(
        root=target.label,
        gpu=environment.question.gpu,
        torch={
            "version": torch.version if torch else "",
            "cuda": torch.cuda if torch else "",
            "loads": ("fail" if environment.torch_problems else "ok") if torch else "",
        },
        packages=tuple(package.report for package in environment.packages),
        features=features(environment),
        findings=findings(environment),
        expected=environment.expected,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    parser = _parser()
    options = parser.parse_args(argv)
    paths = options.library_path or os.environ.get("LD_LIBRARY_PATH", "")
    library_path = tuple(part for part in paths.split(":") if part)
    driver = cuda_of_driver(options.driver) if options.driver else None
    with ExitStack() as stack:
        try:
            target = _target(options, library_path, stack)
            _refuse_nothing(target)
        except (TargetError, image.ImageError, wheels.WheelError) as error:
            given = next(flag for flag in NEXT if getattr(options, flag))
            sys.stderr.write(f"audit: {error}\n  next: {NEXT[given]}\n")
            return 2
        report = audit(target, Question(options.gpu, driver))
        if options.json:
            _write(json.dumps(report.as_dict(), indent=2))
        elif options.sarif:
            _write(json.dumps(sarif(report), indent=2))
        else:
            _write(render(report, everything=options.all).rstrip())
    return int(report.blocked)


def _refuse_nothing(target: Target) -> None:
    """Refuse a wrong folder: an audit of nothing finds nothing, and would be green in CI."""
    places = [target.root.host(site) for site in target.sites]
    kinds = ("*.dist-info", "*.egg-info", "torch", "**/*.so*")
    if not any(next(place.glob(kind), None) for place in places for kind in kinds):
        raise TargetError(f"no package is installed in {target.label}: is it the right place?")


def _target(options: argparse.Namespace, library_path: tuple[str, ...], stack: ExitStack) -> Target:
    if options.site:
        return of_site(options.site, library_path)
    if options.python:
        return of_python(options.python, library_path)
    if options.root:
        explicit = tuple(part for part in (options.library_path or "").split(":") if part)
        return of_root(options.root, explicit)
    if options.image:
        return stack.enter_context(image.opened(options.image))
    return stack.enter_context(wheels.opened(options.wheels.split()))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m blackstack.audit",
        description="Say what will fail on a GPU, from the files alone: no GPU, no start, no import.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--python", type=Path, metavar="PATH", help="the environment of this interpreter")
    what.add_argument("--site", type=Path, metavar="DIR", help="one folder of packages (site-packages)")
    what.add_argument("--root", type=Path, metavar="DIR", help="a root file system, such as an unpacked image")
    what.add_argument("--image", metavar="REF", help="an image of the local engine, or a `docker save` file")
    what.add_argument("--wheels", metavar="'NAME==V …'", help="wheels: requirements of pip's index, or files")
    gpu = parser.add_mutually_exclusive_group()
    gpu.add_argument("--for", dest="gpu", type=_checked(gpu_version), metavar="12.0", help="a compute capability")
    gpu.add_argument("--gpu", dest="gpu", type=_checked(gpu_version), metavar="NAME", help="a card: rtx-5090, …")
    parser.set_defaults(gpu=(12, 0))
    parser.add_argument("--driver", type=_driver, metavar="570.133", help="the driver it will run on")
    parser.add_argument("--library-path", metavar="DIRS", help="LD_LIBRARY_PATH of the process (an image has its own)")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--json", action="store_true", help="for machines; the keys are stable")
    how.add_argument("--sarif", action="store_true", help="for code scanning in CI")
    how.add_argument("--all", action="store_true", help="every package and every note")
    return parser


def _checked(read: Callable[[str], Version]) -> Callable[[str], Version]:
    """Give argparse the sentence of a ValueError, not the name of a function."""

    def convert(text: str) -> Version:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def _driver(text: str) -> str:
    try:
        cuda_of_driver(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")

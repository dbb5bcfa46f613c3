"""`inv`: bring up a real LLM server, prove that it answers, measure it, take it down.

A newcomer types `inv up bench down`. What a task does stands in `blackstack/verbs/`; heavy imports wait until a
task runs, so that `inv --list` is quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

if TYPE_CHECKING:
    from blackstack.bench.workload import Endpoint
    from blackstack.plan import Wishes

STACK = {"stack": "a name from `inv stacks` (default: the one that is up, or $STACK, or llamacpp-cpu)"}
HOW = {
    **STACK,
    "runtime": "docker, process, or auto: Docker where an engine answers",
    "profile": "a variant of the stack, see `inv stacks --stack NAME`",
    "set_": "KEY=VALUE for a knob of the stack, see `inv plan`; may be repeated",
}
RUN = {**HOW, "python": "an interpreter that has the engine already (process runtime)"}


@contextmanager
def friendly() -> Iterator[None]:
    """Turn our errors into their sentence and exit code; anything else is our mistake and keeps its traceback."""
    from blackstack.errors import BlackstackError

    try:
        yield
    except BlackstackError as error:
        raise Exit(str(error), error.exit_code) from None
    except BrokenPipeError:  # whoever read us has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Exit(code=1) from None
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        raise Exit(f"the system refused{place}\n  {error.strerror or error}", 1) from None


@task(help={"stack": "show one stack with its knobs and profiles", "json_": "for machines"})
def stacks(_c: Context, stack: str | None = None, *, json_: bool = False) -> None:
    """List the stacks that can be served."""
    with friendly():
        from blackstack.verbs import knowing

        knowing.stacks(stack=stack, as_json=json_)


@task(help={**RUN, "json_": "for machines"}, iterable=["set_"])
def plan(
    _c: Context,
    stack: str | None = None,
    runtime: str = "auto",
    profile: str | None = None,
    set_: Sequence[str] | None = None,
    python: str | None = None,
    *,
    json_: bool = False,
) -> None:
    """Say what `up` would do, and do nothing."""
    with friendly():
        from blackstack.verbs import knowing

        code = knowing.show_plan(stack, _wishes(runtime, profile, set_, python), as_json=json_)
    if code:
        raise Exit(code=code)


@task(
    help={
        **HOW,
        "target": "another stage of the Dockerfile, such as from-source",
        "no_cache": "build every layer anew",
        "push": "then push it under this name, such as registry.example:5000/NAME:TAG",
    },
    iterable=["set_"],
)
def build(
    _c: Context,
    stack: str | None = None,
    runtime: str = "auto",
    profile: str | None = None,
    set_: Sequence[str] | None = None,
    target: str | None = None,
    push: str | None = None,
    *,
    no_cache: bool = False,
) -> None:
    """Build the image of a stack, and record it; without Docker, its environment."""
    with friendly():
        from blackstack.verbs import building

        order = building.Order(target=target, no_cache=no_cache, push=push)
        building.build(stack, _wishes(runtime, profile, set_), order)


@task(
    help={**RUN, "timeout": "seconds until it must have answered (default: the stack's own)"},
    iterable=["set_"],
)
def up(
    _c: Context,
    stack: str | None = None,
    runtime: str = "auto",
    profile: str | None = None,
    set_: Sequence[str] | None = None,
    python: str | None = None,
    timeout: str | None = None,
) -> None:
    """Start a stack and wait until it has answered a real prompt."""
    with friendly():
        from blackstack.verbs import running

        running.up(stack, _wishes(runtime, profile, set_, python), timeout=_number("timeout", timeout))


@task(help={**STACK, "json_": "for machines"})
def status(_c: Context, stack: str | None = None, *, json_: bool = False) -> None:
    """Say which stacks are up, and whether they answer."""
    with friendly():
        from blackstack.verbs import watching

        watching.status(stack=stack, as_json=json_)


@task(help={**STACK, "follow": "go on as lines come, until Ctrl-C", "lines": "how many of the last lines"})
def logs(_c: Context, stack: str | None = None, *, follow: bool = False, lines: str = "100") -> None:
    """Print the server's log, also after its end."""
    with friendly():
        from blackstack.verbs import watching

        watching.logs(stack, follow=follow, lines=_whole_numbers("lines", lines)[0])


@task(
    help={
        "stack": "a stack whose server ended (default: the one that was up)",
        "log": "a log file instead, or - for standard input",
        "bundle": "also write a redacted archive for a bug report, such as report.tar.gz",
        "language": "en or ko",
        "json_": "for machines",
    }
)
def diagnose(
    _c: Context,
    stack: str | None = None,
    log: str | None = None,
    bundle: str | None = None,
    language: str = "en",
    *,
    json_: bool = False,
) -> None:
    """Say what is wrong in a log, how we know, and what mends it."""
    with friendly():
        from blackstack.verbs import diagnosing

        code = diagnosing.diagnose(
            diagnosing.Question(stack=stack, log=log, bundle=bundle, language=language, as_json=json_)
        )
    if code:
        raise Exit(code=code)


@task(
    help={
        **STACK,
        "url": "measure this server instead of a stack",
        "model": "the model's name there (default: the only one it serves)",
        "api_key_env": "the variable that holds the key for --url; without it none is sent",
        "concurrency": "requests in flight; several, as 1,8,32, are measured one after the other",
        "requests": "how many are measured at each concurrency",
        "output_tokens": "tokens that each request asks for",
        "input_tokens": "exact length of the prompts, counted by the server (default: as they are)",
        "prompts": "chat, code, long, korean, or a file: JSON lines, ShareGPT, a trace",
        "rate": "an open loop: requests a second, whatever the server manages (default: a closed loop)",
        "arrival": "how an open loop spaces them: constant, poisson, gamma; replay takes the file's own",
        "duration": "send for so many seconds instead of --requests",
        "workers": "processes that share the load, for when one core is not enough",
        "quality": "also ask questions whose answers are known",
        "endpoint": "completions or chat",
        "repeats": "how often the whole is measured",
        "warmup": "requests before, which are not counted",
        "seed": "the same seed gives the same prompts",
        "json_": "print the record, and nothing else, on standard output",
        "out": "the file to write (default: a new one in results/)",
    }
)
def bench(
    _c: Context,
    stack: str | None = None,
    url: str | None = None,
    model: str | None = None,
    api_key_env: str | None = None,
    concurrency: str = "1,4",
    requests: str = "12",
    output_tokens: str = "64",
    input_tokens: str | None = None,
    prompts: str = "chat",
    rate: str | None = None,
    arrival: str = "constant",
    duration: str | None = None,
    workers: str = "1",
    endpoint: str = "completions",
    repeats: str = "1",
    warmup: str = "2",
    seed: str = "0",
    out: str | None = None,
    *,
    quality: bool = False,
    json_: bool = False,
) -> None:
    """Measure a server: time to first token, gaps between tokens, tokens per second."""
    with friendly():
        from blackstack.bench import Workload
        from blackstack.verbs import measuring

        workload = Workload(
            concurrency=_whole_numbers("concurrency", concurrency),
            requests=_whole_numbers("requests", requests)[0],
            output_tokens=_whole_numbers("output-tokens", output_tokens)[0],
            input_tokens=_whole_numbers("input-tokens", input_tokens)[0] if input_tokens else None,
            prompts=prompts,
            rate=_number("rate", rate),
            arrival=arrival,
            duration_s=_number("duration", duration),
            workers=_whole_numbers("workers", workers)[0],
            quality=quality,
            endpoint=cast("Endpoint", endpoint),  # refused by Workload when it is none
            repeats=_whole_numbers("repeats", repeats)[0],
            warmup=_whole_numbers("warmup", warmup, lowest=0)[0],
            seed=_whole_numbers("seed", seed, lowest=0)[0],
        )
        order = measuring.Order(stack=stack, url=url, model=model, api_key_env=api_key_env, out=out, as_json=json_)
        measuring.bench(order, workload)


@task(help=STACK)
def down(_c: Context, stack: str | None = None) -> None:
    """Stop a stack; its image or environment stays."""
    with friendly():
        from blackstack.verbs import running

        running.down(stack)


@task(
    help={
        "stack": "a stack: its image, or its environment",
        "image": "an image of the engine, or a `docker save` file",
        "python": "the environment of this interpreter",
        "site": "a folder of packages (site-packages)",
        "root": "a root file system, such as an unpacked image",
        "wheels": "requirements of pip's index, such as 'torch==2.8.0 vllm==0.11.0'; fetched in pieces",
        "gpu": "a card such as rtx-5090 (the default)",
        "for_": "a compute capability instead, such as 12.0",
        "driver": "the NVIDIA driver there, such as 570.133",
        "json_": "for machines",
        "sarif": "for code scanning in CI",
        "all_": "every package and every note",
    }
)
def audit(
    _c: Context,
    stack: str | None = None,
    image: str | None = None,
    python: str | None = None,
    site: str | None = None,
    root: str | None = None,
    wheels: str | None = None,
    gpu: str | None = None,
    for_: str | None = None,
    driver: str | None = None,
    *,
    json_: bool = False,
    sarif: bool = False,
    all_: bool = False,
) -> None:
    """Say what will not load or run on a GPU, from the files alone: no GPU, no start."""
    with friendly():
        from blackstack.verbs import auditing

        code = auditing.audit(
            auditing.Subject(stack=stack, image=image, python=python, site=site, root=root, wheels=wheels),
            auditing.Answer(gpu=gpu, capability=for_, driver=driver, form=_form(json=json_, sarif=sarif, all=all_)),
        )
    if code:
        raise Exit(code=code)


@task(
    help={
        "stack": "one of ours (default: all of them)",
        "file": "any compose file instead, also one that knows nothing of blackstack",
        "json_": "for machines",
    }
)
def lint(_c: Context, stack: str | None = None, file: str | None = None, *, json_: bool = False) -> None:
    """Say what in a compose file will not work, is not safe, or means another flag: nothing is started."""
    with friendly():
        from blackstack.verbs import linting

        code = linting.lint(stack=stack, file=file, as_json=json_)
    if code:
        raise Exit(code=code)


def _form(**asked: bool) -> str | None:
    """Return the one way of printing that was asked for."""
    from blackstack.errors import UsageError

    forms = [form for form, wanted in asked.items() if wanted]
    if len(forms) > 1:
        raise UsageError(f"one way to print at a time, not {' and '.join(f'--{form}' for form in forms)}")
    return forms[0] if forms else None


def _wishes(runtime: str, profile: str | None, set_: Sequence[str] | None, python: str | None = None) -> Wishes:
    from blackstack.plan import Wishes

    return Wishes(runtime=runtime, profile=profile, overrides=tuple(set_ or ()), python=python)


def _number(flag: str, text: str | None) -> float | None:
    from blackstack.errors import UsageError

    try:
        number = None if text is None else float(text)
    except ValueError:
        number = -1.0
    if number is not None and not 0 < number < float("inf"):
        raise UsageError(f"--{flag} takes a number above 0, not {text!r}")
    return number


def _whole_numbers(flag: str, text: str, *, lowest: int = 1) -> tuple[int, ...]:
    from blackstack.errors import UsageError

    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdecimal() and int(word) >= lowest for word in words):
        raise UsageError(f"--{flag} takes whole numbers from {lowest}, such as {max(lowest, 8)}, not {text!r}")
    return tuple(map(int, words))

"""`inv`: bring up a real LLM server, prove that it answers, measure it, take it down.

A newcomer types `inv up bench down`. What a task does stands in `blackstack/verbs/`; heavy imports wait until a
task runs, so that `inv --list` is quick.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, cast

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.parser.parser import ParseMachine
from invoke.tasks import task as any_task

if TYPE_CHECKING:
    from blackstack.bench.workload import Endpoint, Workload
    from blackstack.plan import Wishes
    from blackstack.trial.tune import Goal
    from blackstack.verbs.trying import Order

# Invoke gives each flag the first letter that is free: -h was not help in half of the verbs. Flags are spelled out.
task = partial(any_task, auto_shortflags=False)

STACK = {"stack": "a name from `inv stacks` (default: the one that is up, or $STACK, or llamacpp-cpu)"}
REQUESTS = 12  # of a run of `inv bench`, where nobody says it
HOW = {
    **STACK,
    "runtime": "docker, process, or auto: Docker where an engine answers",
    "profile": "a variant of the stack, see `inv stacks --stack NAME`",
    "set_": "KEY=VALUE for a knob of the stack, see `inv plan`; may be repeated",
}
EXTRA = {"extra": "words for the server that no knob has: --extra='--block-size 32'; may be repeated"}
RUN = {**HOW, **EXTRA, "python": "an interpreter that has the engine already (process runtime)"}


def refuse(typed: ParseMachine, said: str) -> NoReturn:
    """Say what was typed wrong as all our errors do, and exit with 2; Invoke would say «No idea» and exit with 1."""
    from blackstack.verbs import mistyping

    verb, flag = typed.context, typed.flag
    flags = {name: str(argument.help) for name, argument in verb.flags.items()} if verb.name else {}
    if flag and flag.takes_value and (flag.raw_value is None or said == NO_VALUE):
        error = mistyping.no_value(verb.name, f"--{flag.names[0]}", str(flag.help))
    elif verb.missing_positional_args:
        wanted, lacking = verb.positional_args, verb.missing_positional_args
        error = mistyping.too_few(verb.name, [one.names[0] for one in wanted], [one.names[0] for one in lacking])
    else:
        word = ast.literal_eval(said.removeprefix("No idea what ").removesuffix(" is!"))
        error = mistyping.unknown(word, verb.name, flags, typed.contexts)
    raise Exit(str(error), error.exit_code)


NO_VALUE = "no value"


def leave_flag(typed: ParseMachine, *, leave: Callable[[ParseMachine], None] = ParseMachine.complete_flag) -> None:
    """Leave a flag, unless it may be repeated and had no value: Invoke takes `--set` alone for nothing to set."""
    if typed.flag and typed.flag.kind is list and not typed.flag_got_value:
        refuse(typed, NO_VALUE)
    leave(typed)


def take_value(
    typed: ParseMachine, value: str, *, take: Callable[[ParseMachine, str], None] = ParseMachine.see_value
) -> None:
    """Take a flag's value, unless it is empty, as of a shell's variable that is not set."""
    if value == "":
        refuse(typed, NO_VALUE)
    take(typed, value)


# Invoke has no other place for its sentences.
ParseMachine.error = refuse  # type: ignore[assignment, method-assign]
ParseMachine.complete_flag = leave_flag  # type: ignore[assignment, method-assign]
ParseMachine.see_value = take_value  # type: ignore[assignment, method-assign]


@contextmanager
def friendly() -> Iterator[None]:
    """Turn our errors into their sentence and exit code; anything else is our mistake and keeps its traceback."""
    from blackstack.errors import BlackstackError, InterruptedRunError

    try:
        yield
    except BlackstackError as error:
        raise Exit(str(error), error.exit_code) from None
    except KeyboardInterrupt:  # of a verb that has nothing to put back
        raise Exit("interrupted", InterruptedRunError.exit_code) from None
    except BrokenPipeError:  # whoever read us has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Exit(code=1) from None
    except OSError as error:
        place = f": {error.filename}" if error.filename else ""
        raise Exit(f"the system refused{place}\n  {error.strerror or error}", 1) from None


def leave(code: int) -> None:
    """End with this exit code, or go on to the next task where it is 0."""
    if code:
        raise Exit(code=code)


@task(
    help={
        "stack": "show one stack with its knobs and profiles",
        "fits": "only those that this machine can run; the others are named with the reason",
        "json_": "for machines",
    }
)
def stacks(_c: Context, stack: str | None = None, *, fits: bool = False, json_: bool = False) -> None:
    """List the stacks that can be served."""
    with friendly():
        from blackstack.verbs import knowing

        knowing.stacks(stack=stack, fits=fits, as_json=json_)


@task(
    help={**RUN, "stack": "check this stack too (default: $STACK, or the machine alone)", "json_": "for machines"},
    iterable=["set_", "extra"],
)
def doctor(
    _c: Context,
    stack: str | None = None,
    runtime: str = "auto",
    profile: str | None = None,
    set_: Sequence[str] | None = None,
    python: str | None = None,
    extra: Sequence[str] | None = None,
    *,
    json_: bool = False,
) -> None:
    """Say what will not work here and what mends it; without a stack, which fit."""
    with friendly():
        from blackstack.verbs import examining

        leave(examining.doctor(stack, _wishes(runtime, profile, set_, python, extra), as_json=json_))


@task(help={**RUN, "json_": "for machines"}, iterable=["set_", "extra"])
def plan(
    _c: Context,
    stack: str | None = None,
    runtime: str = "auto",
    profile: str | None = None,
    set_: Sequence[str] | None = None,
    python: str | None = None,
    extra: Sequence[str] | None = None,
    *,
    json_: bool = False,
) -> None:
    """Say what `up` would do, and do nothing."""
    with friendly():
        from blackstack.verbs import knowing

        leave(knowing.show_plan(stack, _wishes(runtime, profile, set_, python, extra), as_json=json_))


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
    iterable=["set_", "extra"],
)
def up(
    _c: Context,
    stack: str | None = None,
    runtime: str = "auto",
    profile: str | None = None,
    set_: Sequence[str] | None = None,
    python: str | None = None,
    timeout: str | None = None,
    extra: Sequence[str] | None = None,
) -> None:
    """Start a stack and wait until it has answered a real prompt."""
    with friendly():
        from blackstack.verbs import running

        running.up(stack, _wishes(runtime, profile, set_, python, extra), timeout=_number("timeout", timeout))


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
        **STACK,
        "url": "watch this server instead of a stack's",
        "model": "the model's name there (default: the first it serves)",
        "api_key_env": "the variable that holds the key for --url; without it none is sent",
        "interval": "seconds between two questions",
        "timeout": "seconds without a token for anybody, after which it is called hung",
        "once": "ask once: exit code 0 or 1, as a health check wants it",
        "json_": "for machines: the findings",
    }
)
def watch(
    _c: Context,
    stack: str | None = None,
    url: str | None = None,
    model: str | None = None,
    api_key_env: str | None = None,
    interval: str = "15",
    timeout: str = "30",
    *,
    once: bool = False,
    json_: bool = False,
) -> None:
    """Keep proving that a server answers, and say when and why it does not."""
    with friendly():
        from blackstack.verbs import proving

        vigil = proving.Vigil(
            stack=stack,
            url=url,
            model=model,
            api_key_env=api_key_env,
            interval_s=_number("interval", interval) or 0,
            patience_s=_number("timeout", timeout) or 0,
            once=once,
            as_json=json_,
        )
        leave(proving.watch(vigil))


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

        question = diagnosing.Question(stack=stack, log=log, bundle=bundle, language=language, as_json=json_)
        leave(diagnosing.diagnose(question))


@task(
    help={
        **STACK,
        "url": "measure this server instead of a stack",
        "model": "the model's name there (default: the only one it serves)",
        "api_key_env": "the variable that holds the key for --url; without it none is sent",
        "concurrency": "requests in flight; several, as 1,8,32, are measured one after the other",
        "requests": "how many are measured at each concurrency (default: 12; a trace is replayed whole)",
        "output_tokens": "tokens that each request asks for (default: the prompts' own; chat 64, code 150, long 200)",
        "input_tokens": "exact length of the prompts, counted by the server (default: as they are)",
        "prompts": "chat, code, long, korean, or a file: JSON lines, ShareGPT, a trace",
        "rate": "an open loop: requests a second, whatever the server manages (default: a closed loop)",
        "arrival": "how an open loop spaces them: constant, poisson, gamma; replay takes the file's own",
        "burstiness": "shape of gamma arrivals: below 1 more bursty than poisson",
        "duration": "send for so many seconds instead of --requests",
        "ramp": "seconds over which the load grows from nothing",
        "sweep": "double the concurrency, as 1-256, until there is no more throughput; names the knee",
        "slo": "limits in ms that a request should keep, as ttft=500,tpot=50,e2e=5000; gives the goodput",
        "turns": "of a conversation; the server's own answers are part of the next prompt",
        "shared_prefix": "words that all prompts begin with, to measure a prefix cache",
        "salt": "--no-salt lets a prefix cache answer for the model",
        "ignore_eos": "--no-ignore-eos lets answers end where the model ends them: every run has other work then",
        "check_tokens": "count some answers again with the server's tokenizer",
        "workers": "processes that share the load, for when one core is not enough",
        "quality": "also ask questions whose answers are known",
        "endpoint": "completions or chat",
        "repeats": "how often the whole is measured",
        "warmup": "requests before, which are not counted",
        "seed": "the same seed gives the same prompts",
        "timeout": "seconds for one request, from its sending to its end; after two of them in silence the run ends",
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
    requests: str | None = None,
    output_tokens: str | None = None,
    input_tokens: str | None = None,
    prompts: str = "chat",
    rate: str | None = None,
    arrival: str = "constant",
    burstiness: str = "1",
    duration: str | None = None,
    ramp: str | None = None,
    sweep: str | None = None,
    slo: str = "",
    turns: str = "1",
    shared_prefix: str = "0",
    workers: str = "1",
    endpoint: str = "completions",
    repeats: str = "1",
    warmup: str = "2",
    seed: str = "0",
    timeout: str = "120",
    out: str | None = None,
    *,
    salt: bool = True,
    ignore_eos: bool = True,
    check_tokens: bool = False,
    quality: bool = False,
    json_: bool = False,
) -> None:
    """Measure a server: time to first token, gaps between tokens, tokens per second."""
    with friendly():
        from blackstack.bench import Workload
        from blackstack.bench.sources import usual_requests, usual_tokens
        from blackstack.verbs import measuring

        workload = Workload(
            **_loads(concurrency, sweep),
            **_limits(slo),
            requests=_whole_numbers("requests", requests)[0]
            if requests
            else usual_requests(arrival, prompts, otherwise=REQUESTS),
            output_tokens=_whole_numbers("output-tokens", output_tokens)[0] if output_tokens else usual_tokens(prompts),
            input_tokens=_whole_numbers("input-tokens", input_tokens)[0] if input_tokens else None,
            prompts=prompts,
            rate=_number("rate", rate),
            arrival=arrival,
            burstiness=_number("burstiness", burstiness) or 1.0,
            duration_s=_number("duration", duration),
            ramp_s=_number("ramp", ramp) or 0.0,
            turns=_whole_numbers("turns", turns)[0],
            shared_prefix=_whole_numbers("shared-prefix", shared_prefix, lowest=0)[0],
            salt=salt,
            ignore_eos=ignore_eos,
            check_tokens=check_tokens,
            workers=_whole_numbers("workers", workers)[0],
            quality=quality,
            endpoint=cast("Endpoint", endpoint),  # refused by Workload when it is none
            repeats=_whole_numbers("repeats", repeats)[0],
            warmup=_whole_numbers("warmup", warmup, lowest=0)[0],
            seed=_whole_numbers("seed", seed, lowest=0)[0],
            timeout_s=_number("timeout", timeout) or 0.0,
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
    """Say what will not load or run on a GPU, from the files alone."""
    with friendly():
        from blackstack.verbs import auditing

        subject = auditing.Subject(stack=stack, image=image, python=python, site=site, root=root, wheels=wheels)
        form = _form(json=json_, sarif=sarif, all=all_)
        leave(auditing.audit(subject, auditing.Answer(gpu=gpu, capability=for_, driver=driver, form=form)))


TRY = {
    "requests": "how many are measured in each repeat",
    "concurrency": "requests in flight",
    "output_tokens": "tokens that each request asks for",
    "timeout": "seconds until a server must have answered (default: the stack's own)",
    "fresh": "forget what an earlier run of the same command kept",
    "out": "the file to write (default: a new one in results/)",
    "json_": "print the record, and nothing else, on standard output",
}
REPEATS = {"repeats": "how often each server is measured; an interval needs two"}


@task(
    help={
        **RUN,
        **TRY,
        **REPEATS,
        "axis": "what is switched, one at a time: attention, graphs, kv, sampler, quantisation, dtype, …",
        "cross": "each value of each axis with each of the others, instead of one at a time",
        "only": "of its values, those to try, as FLASHINFER,TRITON_ATTN",
    },
    iterable=["set_", "extra"],
)
def backends(
    _c: Context,
    stack: str | None = None,
    axis: str = "attention",
    only: str = "",
    runtime: str = "auto",
    profile: str | None = None,
    set_: Sequence[str] | None = None,
    python: str | None = None,
    extra: Sequence[str] | None = None,
    concurrency: str = "4",
    requests: str = "8",
    output_tokens: str = "32",
    repeats: str = "3",
    timeout: str | None = None,
    out: str | None = None,
    *,
    cross: bool = False,
    fresh: bool = False,
    json_: bool = False,
) -> None:
    """Start a stack once in each way, and say which answers right, and how fast."""
    with friendly():
        from blackstack.verbs import switching

        order = _order(
            _wishes(runtime, profile, set_, python, extra),
            _short_load(concurrency, requests, output_tokens, repeats),
            timeout=timeout,
            fresh=fresh,
            as_json=json_,
            out=out,
        )
        switching.backends(stack, order, names=_words(axis), only=_words(only), cross=cross)


@task(
    help={
        **{flag: about for flag, about in RUN.items() if flag != "profile"},
        **TRY,
        **REPEATS,
        "low": "the profile to start from",
        "high": "the profile to go to",
    },
    iterable=["set_", "extra"],
)
def ladder(
    _c: Context,
    stack: str | None = None,
    low: str = "safe",
    high: str = "fast",
    runtime: str = "auto",
    set_: Sequence[str] | None = None,
    python: str | None = None,
    extra: Sequence[str] | None = None,
    concurrency: str = "4",
    requests: str = "8",
    output_tokens: str = "32",
    repeats: str = "3",
    timeout: str | None = None,
    out: str | None = None,
    *,
    fresh: bool = False,
    json_: bool = False,
) -> None:
    """Climb from a safe profile to a fast one; what works and is not slower stays."""
    with friendly():
        from blackstack.verbs import climbing

        order = _order(
            _wishes(runtime, None, set_, python, extra),
            _short_load(concurrency, requests, output_tokens, repeats),
            timeout=timeout,
            fresh=fresh,
            as_json=json_,
            out=out,
        )
        climbing.climb(stack, order, low=low, high=high)


@task(
    help={
        **TRY,
        "candidates": "stacks to hold against each other, as llamacpp-cpu,vllm-cpu",
        "model": "the model that all of them must serve",
        "rounds": "how often each is brought up and measured, in turn; an interval needs two",
        "repeats": "how often each server is measured in a round",
        "runtime": HOW["runtime"],
        "set_": "KEY=VALUE for a knob, given to the candidates that have it; may be repeated",
    },
    iterable=["set_"],
)
def verdict(
    _c: Context,
    candidates: str = "",
    model: str = "",
    rounds: str = "3",
    runtime: str = "auto",
    set_: Sequence[str] | None = None,
    concurrency: str = "4",
    requests: str = "12",
    output_tokens: str = "48",
    repeats: str = "1",
    timeout: str | None = None,
    out: str | None = None,
    *,
    fresh: bool = False,
    json_: bool = False,
) -> None:
    """Say which stack wins here: why, how sure, what it costs, what was not tried."""
    with friendly():
        from blackstack.verbs import deciding

        order = _order(
            _wishes(runtime, None, set_),
            _short_load(concurrency, requests, output_tokens, repeats),
            timeout=timeout,
            fresh=fresh,
            as_json=json_,
            out=out,
        )
        deciding.decide(order, candidates=_words(candidates), model=model, rounds=_whole_numbers("rounds", rounds)[0])


@task(
    help={
        **RUN,
        **TRY,
        "goal": "throughput: tokens per second at --concurrency; latency: a single client's requests",
        "budget": "how long it may take, with the rematch: 90s, 30m, 2h",
        "axis": "what is switched besides knobs, as attention,kv; none for knobs alone (default: those two)",
        "seed": "of the search and of the prompts",
    },
    iterable=["set_", "extra"],
)
def tune(
    _c: Context,
    stack: str | None = None,
    goal: str = "throughput",
    budget: str = "30m",
    axis: str | None = None,
    runtime: str = "auto",
    profile: str | None = None,
    set_: Sequence[str] | None = None,
    python: str | None = None,
    extra: Sequence[str] | None = None,
    concurrency: str = "8",
    requests: str = "16",
    output_tokens: str = "32",
    seed: str = "0",
    timeout: str | None = None,
    out: str | None = None,
    *,
    fresh: bool = False,
    json_: bool = False,
) -> None:
    """Search a stack's knobs; a gain is claimed only when a rematch shows it."""
    with friendly():
        from blackstack.errors import unknown_name
        from blackstack.verbs import tuning

        if goal not in {"throughput", "latency"}:
            raise unknown_name("goal", goal, ("throughput", "latency"), see="inv --help tune")
        at_once = "1" if goal == "latency" else concurrency
        order = _order(
            _wishes(runtime, profile, set_, python, extra),
            _short_load(at_once, requests, output_tokens, "1", seed),
            timeout=timeout,
            fresh=fresh,
            as_json=json_,
            out=out,
        )
        names = None if axis is None else [name for name in _words(axis) if name != "none"]
        tuning.search(stack, order, goal=cast("Goal", goal), budget_s=_seconds("budget", budget), names=names)


def _order(
    wishes: Wishes, load: Workload, *, timeout: str | None, fresh: bool, as_json: bool, out: str | None
) -> Order:
    from blackstack.verbs.trying import Order

    seconds = _number("timeout", timeout)
    return Order(wishes=wishes, load=load, timeout=seconds, fresh=fresh, as_json=as_json, out=out)


def _short_load(concurrency: str, requests: str, output_tokens: str, repeats: str, seed: str = "0") -> Workload:
    from blackstack.bench import Workload

    return Workload(
        concurrency=_whole_numbers("concurrency", concurrency)[:1],
        requests=_whole_numbers("requests", requests)[0],
        output_tokens=_whole_numbers("output-tokens", output_tokens)[0],
        repeats=_whole_numbers("repeats", repeats)[0],
        seed=_whole_numbers("seed", seed, lowest=0)[0],
        quality=True,
    )


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _seconds(flag: str, text: str) -> float:
    from blackstack.errors import UsageError

    unit = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(text[-1:], 0.0)
    number = text[:-1] if unit else text
    if not number.replace(".", "", 1).isdecimal() or not float(number):
        raise UsageError(f"--{flag} takes a time, such as 90s, 30m or 2h, not {text!r}")
    return float(number) * (unit or 1.0)


@task(help={**STACK, "check": "only say which pins moved or vanished, of all stacks or one", "json_": "with --check"})
def pin(_c: Context, stack: str | None = None, *, check: bool = False, json_: bool = False) -> None:
    """Write down which image the stack's tag stands for now: its digest."""
    with friendly():
        from blackstack.verbs import pinning

        if check:
            leave(pinning.check(stack, as_json=json_))
        else:
            pinning.pin(stack)


@task(help={**STACK, "out": "the folder to write into (default: .blackstack/archives)"})
def archive(_c: Context, stack: str | None = None, out: str | None = None) -> None:
    """Keep the stack's image as a file: registries forget."""
    with friendly():
        from blackstack.verbs import pinning

        pinning.archive(stack, out)


@task(help={"stack": "the newest archive of this stack", "archive": "a file that `inv archive` wrote"})
def restore(_c: Context, stack: str | None = None, archive: str | None = None) -> None:
    """Bring an archived image back, when it is what was saved."""
    with friendly():
        from blackstack.verbs import pinning

        pinning.restore(stack, archive)


@task(help={**STACK, "out": "the folder to write: new, empty, or an earlier export", "profile": HOW["profile"]})
def export(_c: Context, stack: str | None = None, out: str | None = None, profile: str | None = None) -> None:
    """Write a folder for a server with only Docker: files, knobs, commands."""
    with friendly():
        from blackstack.verbs import exporting

        exporting.export(stack, out, profile)


@task(
    help={
        **STACK,
        "result": "the record that speaks for the image (default: the stack's newest one that can)",
        "list_": "only list what was promoted",
        "json_": "with --list",
    }
)
def promote(
    _c: Context, stack: str | None = None, result: str | None = None, *, list_: bool = False, json_: bool = False
) -> None:
    """Take a measured image into service: pinned, archived, the baseline now."""
    with friendly():
        from blackstack.verbs import promoting

        if list_:
            promoting.show(stack, as_json=json_)
        else:
            promoting.promote(stack, result)


@task(help=STACK)
def rollback(_c: Context, stack: str | None = None) -> None:
    """Bring the image back that was in service before, from its archive if need be."""
    with friendly():
        from blackstack.verbs import promoting

        promoting.rollback(stack)


@task(
    help={
        "a": "the baseline: a record, the name of one in results/baselines/, or a stack as NAME or NAME:PROFILE",
        "b": "what is held against it; two stacks are started and measured in turn, A B A B …",
        "fail_if_slower": "exit with 1 where B is surely slower by so much, such as 5%; needs repeats",
        "rounds": "of two stacks: how often each is started and measured",
        "runtime": "of two stacks: docker, process, or auto",
        "concurrency": "of two stacks: requests in flight, as in inv bench",
        "requests": "of two stacks: how many are measured at each concurrency",
        "output_tokens": "of two stacks: tokens that each request asks for",
        "prompts": "of two stacks: as in inv bench",
        "json_": "print the comparison, and nothing else, on standard output",
        "markdown": "print it as Markdown, for a pull request",
    }
)
def compare(
    _c: Context,
    a: str,
    b: str,
    fail_if_slower: str | None = None,
    rounds: str = "3",
    runtime: str = "auto",
    concurrency: str = "1,4",
    requests: str = "12",
    output_tokens: str | None = None,
    prompts: str = "chat",
    *,
    json_: bool = False,
    markdown: bool = False,
) -> None:
    """Say which of two is faster, how sure that is, and what else differs."""
    with friendly():
        from blackstack.bench import Workload
        from blackstack.bench.sources import usual_tokens
        from blackstack.verbs import comparing

        sides = comparing.Sides(
            a=a,
            b=b,
            fail_if_slower=_share("fail-if-slower", fail_if_slower),
            rounds=_whole_numbers("rounds", rounds)[0],
            runtime=runtime,
            as_json=json_,
            as_markdown=markdown,
        )
        workload = Workload(
            concurrency=_whole_numbers("concurrency", concurrency),
            requests=_whole_numbers("requests", requests)[0],
            output_tokens=_whole_numbers("output-tokens", output_tokens)[0] if output_tokens else usual_tokens(prompts),
            prompts=prompts,
        )
        leave(comparing.compare(sides, workload))


@task(
    help={
        "file": "a record, or the name of one in results/baselines/; may be repeated; two are also compared",
        "stack": "without --file: the newest record of this stack (default: the newest of all)",
        "out": "the file to write",
        "markdown": "print Markdown instead",
    },
    iterable=["file"],
)
def report(
    _c: Context,
    file: Sequence[str] | None = None,
    stack: str | None = None,
    out: str = "report.html",
    *,
    markdown: bool = False,
) -> None:
    """Write records as one HTML file with plots, which needs no network."""
    with friendly():
        from blackstack.verbs import reporting

        reporting.report(reporting.Wanted(records=tuple(file or ()), stack=stack, out=out, as_markdown=markdown))


def _loads(concurrency: str, sweep: str | None) -> dict[str, Any]:
    from blackstack.errors import UsageError

    if sweep is None:
        return {"concurrency": _whole_numbers("concurrency", concurrency)}
    first, _, last = sweep.partition("-")
    ends = [_whole_numbers("sweep", end)[0] for end in (first, last or first)]
    if ends[0] >= ends[1]:
        raise UsageError(f"--sweep takes a first and a last concurrency, such as 1-256, not {sweep!r}")
    return {"concurrency": (ends[0],), "sweep_to": ends[1]}


def _limits(slo: str) -> dict[str, Any]:
    from blackstack.errors import unknown_name

    known = {"ttft": "slo_ttft_ms", "tpot": "slo_tpot_ms", "e2e": "slo_e2e_ms"}
    limits = {}
    for word in slo.split(",") if slo else ():
        name, _, value = word.strip().partition("=")
        if name not in known:
            raise unknown_name("limit", name, known, see="--slo ttft=500,tpot=50,e2e=5000")
        limits[known[name]] = _number(f"slo {name}", value)
    return limits


def _share(flag: str, text: str | None) -> float | None:
    from blackstack.errors import UsageError

    number = _number(flag, text.removesuffix("%") if text else text)
    if number is None or text is None:
        return None
    share = number / 100 if text.endswith("%") else number
    if share >= 1:
        raise UsageError(f"--{flag} takes a share below 100 %, such as 5% or 0.05, not {text!r}")
    return share


@task(
    help={
        "model": "a name of the catalogue, a folder with a config.json, a hub's id; list: all that are known",
        "gpu": "a card such as rtx-5090 (default: the one of this machine); list: all that are known",
        "engine": "whose rules: vllm, sglang, llamacpp; with a version as vllm==0.23.0",
        "context": "tokens of one request, prompt and answer (default: as many as fit)",
        "concurrency": "requests of that length at once",
        "kv_dtype": "of the cache: auto, fp8; llama.cpp: q8_0, q4_0",
        "utilization": "the share of the card that the engine may take (default: the engine's own)",
        "max_num_seqs": "the engine's limit of requests at once, for which it keeps memory (default: its own)",
        "tp": "cards that share the model",
        "pool_gib": "compute from this pool, as an engine prints it, instead of from the card",
        "assume": "an architecture to take the model for, where its own is not known",
        "json_": "for machines",
    }
)
def fit(
    _c: Context,
    model: str = "list",
    gpu: str | None = None,
    engine: str = "vllm",
    context: str | None = None,
    concurrency: str = "1",
    kv_dtype: str = "auto",
    utilization: str | None = None,
    max_num_seqs: str | None = None,
    tp: str = "1",
    pool_gib: str | None = None,
    assume: str | None = None,
    *,
    json_: bool = False,
) -> None:
    """Say whether a model fits a card, with how many tokens, how fast at most."""
    with friendly():
        from blackstack.verbs import fitting

        question = fitting.Question(
            model=model,
            gpu=gpu,
            engine=engine,
            context=_whole_numbers("context", context)[0] if context else None,
            concurrency=_whole_numbers("concurrency", concurrency)[0],
            kv_dtype=kv_dtype,
            utilization=_number("utilization", utilization),
            sequences=_whole_numbers("max-num-seqs", max_num_seqs)[0] if max_num_seqs else None,
            tp=_whole_numbers("tp", tp)[0],
            pool_gib=_number("pool-gib", pool_gib),
            assume=assume,
            as_json=json_,
        )
        leave(fitting.answer(question))


@task(help={"check": "write nothing; exit code 1 when the page is stale", "json_": "for machines"})
def matrix(_c: Context, *, check: bool = False, json_: bool = False) -> None:
    """Write docs/matrix.md: what is known of each stack on each GPU, and by what."""
    with friendly():
        from blackstack.verbs import matrixing

        matrixing.matrix(check=check, as_json=json_)


@task(
    help={
        "stack": "one of ours (default: all of them)",
        "file": "any compose file instead, also one that knows nothing of blackstack",
        "json_": "for machines",
    }
)
def lint(_c: Context, stack: str | None = None, file: str | None = None, *, json_: bool = False) -> None:
    """Say what in a compose file will not work or is not safe; nothing is started."""
    with friendly():
        from blackstack.verbs import linting

        leave(linting.lint(stack=stack, file=file, as_json=json_))


def _form(**asked: bool) -> str | None:
    """Return the one way of printing that was asked for."""
    from blackstack.errors import UsageError

    forms = [form for form, wanted in asked.items() if wanted]
    if len(forms) > 1:
        raise UsageError(f"one way to print at a time, not {' and '.join(f'--{form}' for form in forms)}")
    return forms[0] if forms else None


def _wishes(
    runtime: str,
    profile: str | None,
    set_: Sequence[str] | None,
    python: str | None = None,
    extra: Sequence[str] | None = None,
) -> Wishes:
    from blackstack.plan import Wishes

    return Wishes(
        runtime=runtime, profile=profile, overrides=tuple(set_ or ()), python=python, extra=tuple(extra or ())
    )


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

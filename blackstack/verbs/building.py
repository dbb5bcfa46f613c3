"""Build: an image, or without Docker an environment. What was asked for and what came of it is written down."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from blackstack import console, host, plan, results, shell
from blackstack.errors import BlockedError, UsageError
from blackstack.interrupt import interruptible
from blackstack.plan import Plan, Wishes
from blackstack.progress import Paced, Progress
from blackstack.registry import parse
from blackstack.verbs.choose import ROOT, named, planned, runtime_called, short

SEAL = "/etc/blackstack-seal.json"  # what the gates of our Dockerfiles leave in the image
FOLDER = ROOT / "results" / "builds"
_PUSHED = re.compile(r"digest: (sha256:[0-9a-f]{64})")


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to build, and where it goes.

    Attributes:
        target: a stage of the Dockerfile; None: the last one.
        no_cache: build every layer anew.
        push: a name with its registry and tag; None: it stays here.
    """

    target: str | None = None
    no_cache: bool = False
    push: str | None = None


def build(stack: str | None, wishes: Wishes, order: Order) -> None:
    """Build the stack's image; with the process runtime, its environment."""
    _refuse_half_a_name(order.push)
    with interruptible() as interruption, console.progress() as progress:
        made, machine = planned(named(stack), wishes)
        interruption.leaves = f"{made.stack.name} was not built; nothing half-made is left"
        if made.runtime == "docker":
            made = as_ordered(made, machine, order)
        elif order.target or order.push:
            raise UsageError("--target and --push go with Docker: an environment has neither stages nor a registry")
        watching = _Watching(shown=progress)
        runtime_called(made.runtime).prepare(made, watching)
        watching.finish()
        if made.runtime == "docker" and made.stack.x.build and made.stack.x.build.contexts:
            _record(made, order, watching, machine)
        interruption.leaves = f"{made.stack.name} is built, but was not pushed"
        if order.push:
            _push(made, order.push, progress)
    console.say(f"{made.stack.name} is built: {made.image or short(made.environment)}")


def as_ordered(made: Plan, machine: host.Host, order: Order) -> Plan:
    """Return the plan with one step: the build that was ordered; a stage in the middle gets a name of its own."""
    words = ("--no-cache",) if order.no_cache else ()
    step = plan.build_step(made.stack, machine, made.settings, os.environ, *words, target=order.target)
    return replace(made, steps=(step,), image=plan.tag_of(made.settings, order.target))


def _record(made: Plan, order: Order, watching: _Watching, machine: host.Host) -> None:
    """Write down what was asked for, what lies in the image, and how long it took."""
    build = made.stack.x.build
    image = made.image or ""
    inside = found_inside(image)
    args = {key: made.settings[key].shown for key in (build.args if build else ())}
    asked = {"stack": made.stack.name, "image": image, "target": order.target, "args": args, "no_cache": order.no_cache}
    measured = {
        "kind": "build",
        "seconds": round(watching.seconds.get("build", 0.0), 1),
        "steps_from_cache": watching.cached,
    }
    result = results.Result(asked_for=asked, found_inside=inside, ran_on=machine.as_record(), measured=measured)
    path = results.save(result, results.default_path(FOLDER, made.stack.name, result.measured_at))
    verdict = inside.get("seal", {}).get("audit", {}).get("verdict", "the image has no seal")
    watching.note(f"{inside['size_bytes'] / 1e9:.2f} GB, audit: {verdict}; recorded in {path.relative_to(ROOT)}")


def found_inside(image: str) -> dict[str, Any]:
    """Look into an image: its id, its size and that of each layer in bytes, and the record that its build sealed."""
    here = host.client().images.get(image)
    facts = here.attrs
    layers = [
        {"bytes": layer["Size"], "made_by": re.sub(r"\s+", " ", layer["CreatedBy"])[:160]}
        for layer in reversed(here.history())
        if layer["Size"]
    ]
    seal = _seal(image)
    return {
        "image_id": facts["Id"],
        "size_bytes": facts["Size"],
        "layers": layers,
        "user": facts["Config"].get("User", ""),
        **({"seal": seal} if seal else {}),
    }


def _seal(image: str) -> Mapping[str, Any]:
    """Read the seal out of an image without running anything in it; nothing where it has none."""
    from docker.errors import NotFound  # noqa: PLC0415 - host.client() has paid for it

    container = host.client().containers.create(image, command=["-"])
    try:
        chunks, _ = container.get_archive(SEAL)
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            member = archive.extractfile(SEAL.rpartition("/")[2])
            data = json.load(member) if member else {}
            return data if isinstance(data, dict) else {}
    except NotFound:
        return {}
    finally:
        container.remove()


def _refuse_half_a_name(name: str | None) -> None:
    if name is None:
        return
    why = "without a registry it would go to Docker Hub, without a tag it would be «latest»"
    try:
        image = parse(name)
        if image.tag and not image.digest and name.startswith(f"{image.registry}/"):
            return
    except UsageError as error:
        why = error.what
    raise UsageError(
        f"--push takes a name with its registry and its tag, not {name!r}",
        why=why,
        fix="inv build --stack NAME --push registry.example:5000/blackstack/NAME:TAG",
    )


def _push(made: Plan, name: str, progress: Progress) -> None:
    """Push the image under another name; credentials are Docker's own (`docker login`)."""
    shell.capture(["docker", "tag", made.image or "", name], check=True)
    argv = ("docker", "push", name)
    progress.stage("push")
    progress.command(shell.typed(argv))
    done = shell.follow(argv, on_line=progress.line)
    if done.code:
        shell.capture(["docker", "image", "rm", "--no-prune", name])
        raise BlockedError(
            f"{made.stack.name} is built, but could not be pushed to {name}",
            why=done.out.splitlines()[-3:],
            fix=[f"docker login {name.partition('/')[0]}", shell.typed(argv)],
        )
    digest = _PUSHED.search(done.out)
    progress.note(f"pushed: {name.rpartition(':')[0]}@{digest[1]}" if digest else f"pushed: {name}")


@dataclass
class _Watching(Paced):
    """Hands everything on, keeps the time, and counts the steps that BuildKit had already."""

    cached: int = 0

    def line(self, text: str) -> None:
        """Hand on, and count."""
        self.cached += bool(re.fullmatch(r"#\d+ CACHED", text))
        super().line(text)

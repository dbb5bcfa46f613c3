"""Promote and roll back: which measured image is in service, changed as one, and the way back kept."""

from __future__ import annotations

import json
from pathlib import Path

from blackstack import archive as archives
from blackstack import catalog, change, console, pins, promotions, shell
from blackstack.catalog import Stack
from blackstack.errors import BlackstackError, BlockedError, UsageError
from blackstack.interrupt import Interruption, interruptible
from blackstack.progress import Progress
from blackstack.promotions import History, Measured, Promotion
from blackstack.registry import parse, short_id
from blackstack.runtime import proc
from blackstack.verbs.choose import ROOT, named, short
from blackstack.verbs.pinning import ARCHIVES, locked, mended


def promote(stack: str | None, result: str | None) -> None:
    """Take the image that a result speaks for into service: pin it, keep it, and compare with it from now on."""
    one = named(stack)
    with interruptible() as interruption, locked(one, "promote"), console.progress() as progress:
        interruption.leaves = f"{one.name} is as it was: nothing was promoted"
        one = mended(one, progress)
        measured = promotions.measurement(Path(result), one.name) if result else promotions.newest(ROOT, one.name)
        history = promotions.read(ROOT, one.name)
        now = history.current
        if now and (now.image_id, now.result_sha256) == (measured.image_id, measured.sha256) and _in_place(one, now):
            console.say(f"{one.name}: {now.image} is current already, by the same result")
            return
        image = _image_of(measured, one)
        pinned = _pinned(measured, image)
        progress.stage(f"archive {pinned}")
        record = archives.save(one.name, pinned, image, ARCHIVES, progress)
        entry = _entry(history, measured, record, pinned)
        progress.stage("promote")
        _enter(one, history.promoted(entry), measured.text, f"promote {entry.image}", interruption)
    console.say(f"promoted: {one.name} is {entry.image}  ({entry.id})")
    console.say(f"  by: {entry.result}")
    console.say(f"  kept: {short(ARCHIVES / record.file)}")
    console.say(f"  written: {', '.join(short(path) for path in _written(one, entry))}")
    version = one.x.engine_version
    if version and version not in str(parse(entry.image).tag):
        console.say(f"  note: {short(one.path)} says engine_version {version}; is that still so?")
    console.say(f"  next: git add those files; back: inv rollback --stack {one.name}")


def rollback(stack: str | None) -> None:
    """Bring the image that was in service before back, from its archive where its registry forgot it."""
    one = named(stack)
    with interruptible() as interruption, locked(one, "roll back"), console.progress() as progress:
        interruption.leaves = f"{one.name} is as it was: nothing was rolled back"
        one = mended(one, progress)
        history = promotions.read(ROOT, one.name)
        left, back = history.current, history.previous
        if left is None or back is None:
            had = "it was promoted once, and nothing before" if left else "it was never promoted"
            raise BlockedError(
                f"there is nothing to roll {one.name} back to", why=had, fix=f"git log -p env/{one.name}.env"
            )
        text = _kept_result(one, back)
        image = _brought_back(back, progress)
        name, tags = _names(one, back, image)
        progress.stage("roll back")
        _enter(one, history.rolled_back(), text, f"roll back to {name}", interruption, name=name, tags=tags)
    console.say(f"rolled back: {one.name} is {name}  ({back.id})")
    console.say(f"  left: {left.image}  ({left.id}); it stays in the history and in {short(ARCHIVES / left.archive)}")
    if name != back.image:
        console.say(f"  note: the engine got it from its archive, and only a registry gives {back.image};")
        console.say(f"        {name} is a name of this machine alone")
    console.say(f"  next: inv down --stack {one.name} && inv up --stack {one.name}")


def show(stack: str | None, *, as_json: bool = False) -> None:
    """List what was promoted, of one stack or all; the current one is marked."""
    names = (catalog.load(ROOT, stack).name,) if stack else catalog.names(ROOT)
    histories = [promotions.read(ROOT, name) for name in names]
    if as_json:
        data = [json.loads(promotions.as_text(history)) for history in histories if history.entries]
        console.data(data)
        return
    rows = [_row(history, entry) for history in histories for entry in history.entries]
    if rows:
        console.table(("STACK", "", "PROMOTED", "IMAGE", "ID", "RESULT", "ARCHIVE"), rows)
    else:
        console.say(f"{stack or 'no stack'} was {'never' if stack else 'ever'} promoted")
    for history in histories:
        if change.unfinished(ROOT, history.stack):
            again = f"inv promote --stack {history.stack}, or inv rollback"
            console.say(f"{history.stack}: a command was killed half-way; the next one brings it to its end: {again}")
        elif history.current and not _in_place(catalog.load(ROOT, history.stack), history.current):
            console.say(f"{history.stack}: its files name another image than the current one: its baseline is stale")


def _image_of(measured: Measured, stack: Stack) -> archives.Image:
    """Return the image that was measured.

    Raises:
        BlockedError: it is not here, or its name stands for another one now.
    """
    image = archives.inspect(measured.image_id)
    again = f"inv up --stack {stack.name} && inv bench --stack {stack.name}"
    if image is None:
        raise BlockedError(
            f"the image that {measured.path.name} measured is not here",
            why=f"{measured.image}, {measured.image_id[:19]}",
            fix=[f"inv restore --stack {stack.name}", f"or measure the one that is: {again}"],
        )
    called = archives.inspect(measured.image)
    if called is None or called.id != image.id:
        now = called.id[:19] if called else "no image"
        raise BlockedError(
            f"{measured.image} is not the image any more that {measured.path.name} measured",
            why=f"measured: {image.id[:19]}, now: {now}",
            fix=f"measure what it is now: {again}",
        )
    return image


def _pinned(measured: Measured, image: archives.Image) -> str:
    """Return the name to write down: with the digest that its registry gave; one that was built here has none."""
    reference = parse(measured.image)
    if reference.digest:
        return measured.image
    digests = [parse(name) for name in image.digests]
    own = [
        one.digest for one in digests if (one.registry, one.repository) == (reference.registry, reference.repository)
    ]
    return str(reference.at(tag=reference.tag or "latest", digest=own[0] if own else None))


def _entry(history: History, measured: Measured, record: archives.Record, pinned: str) -> Promotion:
    at = proc.now()
    name = f"{at[:10]}-{short_id(record.image_id)}"
    taken = {entry.id for entry in history.entries}
    candidates = (name, *(f"{name}-{number}" for number in range(2, 1000)))
    return Promotion(
        id=next(one for one in candidates if one not in taken),
        image=pinned,
        image_id=measured.image_id,
        result=short(measured.path.resolve()),
        result_sha256=measured.sha256,
        archive=record.file,
        promoted_at=at,
    )


def _enter(
    stack: Stack,
    history: History,
    result: str,
    says: str,
    interruption: Interruption,
    *,
    name: str | None = None,
    tags: dict[str, str] | None = None,
) -> None:
    """Make the history's current entry the one in service: pin, history, measurement and baseline as one change."""
    entry = history.current
    if entry is None:
        raise BlackstackError(f"the history of {stack.name} has no current entry")
    files: dict[Path, str | None] = {
        **pins.repinned(stack, name or entry.image),
        promotions.result_file(ROOT, stack.name, entry): result,
        promotions.history_file(ROOT, stack.name): promotions.as_text(history),
        promotions.baseline_file(ROOT, stack.name): promotions.as_baseline(result, entry, name or entry.image),
    }
    change.apply(change.Change(says=says, files=files, tags=tags or {}), ROOT, stack.name)
    interruption.leaves = f"{stack.name} was changed: {says}"


def _kept_result(stack: Stack, entry: Promotion) -> str:
    path = promotions.result_file(ROOT, stack.name, entry)
    try:
        text = path.read_text(encoding="utf-8")
        json.loads(text)
    except (OSError, ValueError) as error:
        raise UsageError(
            f"the measurement behind {entry.id} is not here", why=str(error), fix=f"git checkout {short(path)}"
        ) from error
    return text


def _brought_back(entry: Promotion, progress: Progress) -> archives.Image:
    """Return the entry's image: from the engine, its archive, or its registry, in this order.

    Raises:
        BlockedError: none of them has it.
    """
    here = archives.inspect(entry.image_id)
    if here:
        return here
    kept = ARCHIVES / entry.archive
    if kept.is_file():
        record, image = archives.restore(kept, progress)
        if record.image_id != entry.image_id:
            raise BlockedError(f"{entry.archive} holds {record.image_id[:19]}, not {entry.image_id[:19]}")
        return image
    why = [f"{short(kept)} is not here"]
    if parse(entry.image).digest:
        progress.stage(f"pull {entry.image}")
        pulled = shell.follow(("docker", "pull", parse(entry.image).listed), on_line=progress.line)
        image_now = None if pulled.code else archives.inspect(parse(entry.image).listed)
        if image_now and image_now.id == entry.image_id:
            return image_now
        why.append(f"and it cannot be pulled: {pulled.out.splitlines()[-1] if pulled.out else 'no reason was given'}")
    raise BlockedError(
        f"the image of {entry.id} is nowhere to be had",
        why=why,
        fix=f"copy {entry.archive} and its .json into {short(ARCHIVES)}, from where it was promoted",
    )


def _names(stack: Stack, entry: Promotion, image: archives.Image) -> tuple[str, dict[str, str]]:
    """Return the name for the stack's files, and the names that have to stand for another image for it.

    A name with a digest is only a registry's to give: an image from an archive gets one of this machine's.
    """
    reference = parse(entry.image)
    now = archives.inspect(entry.image)
    if now and now.id == image.id:
        return entry.image, {}
    if reference.digest:
        name = pins.kept_name(stack.name, image.id)
        return name, {name: image.id}
    loser = {pins.kept_name(stack.name, now.id): now.id} if now else {}  # or the next `docker image prune` takes it
    return entry.image, {**loser, entry.image: image.id}


def _in_place(stack: Stack, entry: Promotion) -> bool:
    """Whether the stack's files name the entry's image, also by the name that it got from its archive."""
    try:
        written = str(pins.in_files(stack))
    except UsageError:
        return False
    return written in {entry.image, pins.kept_name(stack.name, entry.image_id)}


def _written(stack: Stack, entry: Promotion) -> tuple[Path, ...]:
    return (
        pins.env_file(stack),
        stack.path,
        promotions.history_file(ROOT, stack.name),
        promotions.result_file(ROOT, stack.name, entry),
        promotions.baseline_file(ROOT, stack.name),
    )


def _row(history: History, entry: Promotion) -> tuple[str, ...]:
    here = "" if (ARCHIVES / entry.archive).is_file() else " (not here)"
    mark = "current" if entry.id == history.current_id else ""
    when, what = entry.promoted_at[:16].replace("T", " "), short_id(entry.image_id)
    return (history.stack, mark, when, entry.image, what, entry.result, f"{entry.archive}{here}")

"""Pin, archive, restore: which image a stack means, and how it is kept when its registry forgets it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from blackstack import archive as archives
from blackstack import catalog, change, console, pins, shell
from blackstack.catalog import Stack
from blackstack.errors import BlackstackError, BlockedError, UsageError
from blackstack.finding import Finding
from blackstack.interrupt import interruptible
from blackstack.plan import Wishes
from blackstack.progress import Progress
from blackstack.registry import NotThereError, Registry, parse
from blackstack.runtime import state
from blackstack.verbs.choose import ROOT, named, planned, short

ARCHIVES = ROOT / ".blackstack" / "archives"


def pin(stack: str | None) -> None:
    """Ask the registry what the stack's tag stands for now, and write that into its two files."""
    one = named(stack)
    with locked(one, "pin"), console.progress() as progress:
        one = mended(one, progress)
        before = pins.written(one)
        progress.stage(f"ask {before.registry}")
        with Registry() as registry:
            try:
                found = pins.resolve(before, registry)
            except NotThereError as error:
                raise _gone(one, error) from error
        if found.image != before:
            files = dict(pins.repinned(one, str(found.image)))
            change.apply(change.Change(says=f"pin {one.name}", files=files), ROOT, one.name)
    console.say(f"{one.name} {'is pinned' if found.image != before else 'was pinned so already'}: {found.image}")
    if found.image != before:
        console.say(f"  before: {before}")
        console.say(f"  written: {short(pins.env_file(one))}, {short(one.path)}")
    console.say(f"  for: {', '.join(found.platforms)}")
    if found.note:
        console.say(f"  note: {found.note}")
    console.say(f"  next: inv up --stack {one.name}   inv archive --stack {one.name}   # registries forget")


def check(stack: str | None, *, as_json: bool = False) -> int:
    """Hold pins against their registries and print what is wrong; return the exit code: 1 when something is."""
    stacks = (catalog.load(ROOT, stack),) if stack else catalog.load_all(ROOT)
    pulled = [one for one in stacks if one.x.build is None or pins.images_of_profiles(one) or stack]
    found: list[Finding] = []
    with Registry() as registry, console.progress() as progress:
        for one in pulled:
            progress.stage(f"check {one.name}")
            found += pins.check(one, registry)
    if as_json:
        console.data([finding.as_dict() for finding in found])
    else:
        for finding in found:
            console.finding(finding)
        faulty = {finding.title.partition(":")[0] for finding in found}
        fine = [one.name for one in pulled if one.name not in faulty]
        if fine:
            console.say(f"as pinned: {', '.join(fine)}")
        if not pulled:
            console.say("no stack has an image that is pulled: there is nothing to check")
    return int(any(finding.severity == "error" for finding in found))


def archive(stack: str | None, out: str | None) -> None:
    """Save the stack's image as a file with a record."""
    one = named(stack)
    folder = Path(out).expanduser().resolve() if out else ARCHIVES
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--out takes a folder, and {folder} is a file")
    with interruptible() as interruption, locked(one, "archive"), console.progress() as progress:
        interruption.leaves = "no archive was written"
        name, image = image_here(one)
        progress.stage(f"save {name}")
        record = archives.save(one.name, name, image, folder, progress)
    console.say(f"archived: {short(folder / record.file)}  {_size(record)}")
    console.say(f"  image: {record.image}  {record.image_id[:19]}  {record.platform}")
    console.say(f"  sha256: {record.sha256}")
    console.say(
        f"  next: inv restore --archive {short(folder / record.file)}   # here, or where both files were copied to"
    )


def restore(stack: str | None, path: str | None) -> None:
    """Load an archive, when it is what was saved, and give the image its name back."""
    if bool(stack) == bool(path):
        raise UsageError("give one of --archive FILE, --stack NAME", fix=f"ls {short(ARCHIVES)}")
    if stack:
        one = catalog.load(ROOT, stack)
        kept = archives.find(ARCHIVES, one.name)
        if kept is None:
            why = f"{short(ARCHIVES)} has none"
            raise BlockedError(f"there is no archive of {one.name}", why=why, fix="inv restore --archive FILE")
    else:
        kept = Path(str(path)).expanduser().resolve()
    with interruptible() as interruption, console.progress() as progress:
        interruption.leaves = "no image was changed"
        record, image = archives.restore(kept, progress)
        ours = record.stack in catalog.names(ROOT)
        known = ours and catalog.load(ROOT, record.stack).defaults.get(pins.KNOB) == record.image
        # A record may be anybody's: it gives back the name that our own files use, and no other.
        wanted = record.image if known else pins.kept_name(record.stack, image.id)
        name, moved = give_name(record.stack, wanted, image)
    console.say(f"restored: {name}  {image.id[:19]}")
    if moved:
        console.say(f"  it stood for {moved[:19]} before, which is {pins.kept_name(record.stack, moved)} now")
    if name != record.image:
        console.say(f"  {record.image} cannot be given back by hand: only its registry gives a digest")
        console.say(f"  next: inv up --stack {record.stack} --set IMAGE={name}")
    else:
        console.say(f"  next: inv up --stack {record.stack}")


def image_here(stack: Stack) -> tuple[str, archives.Image]:
    """Return the image that `up` would run, by name, as the engine has it.

    Raises:
        BlockedError: no engine, or it has no such image.
    """
    made, machine = planned(stack, Wishes(runtime="docker"))
    name = str(made.image)
    image = archives.inspect(name) if machine.engine else None
    if image is None:
        get = f"inv build --stack {stack.name}" if stack.x.build else f"docker pull {name}"
        raise BlockedError(
            f"the engine has no {name}", fix=[get, f"or, from an archive: inv restore --stack {stack.name}"]
        )
    return name, image


def give_name(stack: str, wanted: str, image: archives.Image) -> tuple[str, str]:
    """Let the name that a stack's files use stand for an image again; return the name, and what it stood for before.

    A name with a digest is only a registry's to give; then the image gets one that says whose and what it is. An
    image that loses its name gets such a one too, or the next `docker image prune` would take it.
    """
    reference = parse(wanted)
    if reference.digest:
        now = archives.inspect(wanted)
        if now and now.id == image.id:
            return wanted, ""
        wanted = pins.kept_name(stack, image.id)
    before = archives.inspect(wanted)
    if before and before.id == image.id:
        return wanted, ""
    if before:
        shell.capture(("docker", "tag", before.id, pins.kept_name(stack, before.id)), check=True, own_session=True)
    shell.capture(("docker", "tag", image.id, wanted), check=True, own_session=True)
    return wanted, before.id if before else ""


def locked(stack: Stack, doing: str) -> AbstractContextManager[int]:
    """Hold the stack's pin for one who changes it."""
    return state.locked(state.folder(ROOT, stack.name) / "pin.lock", doing=f"{doing} {stack.name}")


def mended(stack: Stack, progress: Progress) -> Stack:
    """Bring an earlier change that was killed half-way to its end, say so, and return the stack as it is then."""
    said = change.mend(ROOT, stack.name)
    if said:
        progress.note(f"an earlier command was killed half-way, and was brought to its end now: {said}")
    return catalog.load(ROOT, stack.name)


def _gone(stack: Stack, error: BlackstackError) -> BlockedError:
    kept = archives.find(ARCHIVES, stack.name)
    ways = [f"inv restore --stack {stack.name}   # {kept.name} is here"] if kept else []
    ways.append(f"another tag: write it into env/{stack.name}.env and compose/{stack.name}.yaml")
    return BlockedError(f"{stack.name} cannot be pinned: {error.what}", why="tags of nightlies are removed", fix=ways)


def _size(record: archives.Record) -> str:
    return f"{record.file_bytes / 1e6:,.0f} MB, of an image of {record.image_bytes / 1e6:,.0f} MB"

"""Export: a stack as a folder that works alone on a server."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from blackstack import archive as archives
from blackstack import console, pins
from blackstack import export as exports
from blackstack.errors import BlockedError, UsageError
from blackstack.interrupt import deferred
from blackstack.runtime import proc
from blackstack.verbs.choose import named, short
from blackstack.verbs.pinning import ARCHIVES


def export(stack: str | None, out: str | None, profile: str | None) -> None:
    """Write the folder, whole or not at all."""
    if not out:
        raise UsageError("export needs a folder to write", fix="inv export --stack NAME --out DIR")
    one = named(stack)
    folder = Path(out).expanduser().absolute()
    exports.refuse_what_is_not_ours(folder)
    kept = archives.find(ARCHIVES, one.name)
    record = archives.read(kept) if kept else None
    record = record if record and record.image == one.defaults[pins.KNOB] else None
    files = exports.folder_of(one, profile=profile, date=proc.now()[:10], archive=record)
    _write(folder, files)
    console.say(f"exported: {short(folder)}  ({', '.join(files)})")
    if kept and record:
        console.say(f"  bring the image too: {short(kept)}")
    console.say(f"  next: copy the folder to the server and follow its README.md; try it here: cd {short(folder)}")


def _write(folder: Path, files: dict[str, str]) -> None:
    """Write a new folder beside the old one, then let it take the place."""
    folder = folder.resolve()  # a link stays, and what it leads to is replaced
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, text in files.items():
            (draft / name).write_text(text, encoding="utf-8")
        draft.chmod(0o755)
        with deferred():
            if folder.exists():
                aside = draft.with_name(f"{draft.name}.old")
                folder.replace(aside)  # fails, where it does, before anything is lost
                draft.replace(folder)
                shutil.rmtree(aside)  # all ours, and unchanged
            else:
                draft.replace(folder)
    except OSError as error:
        raise BlockedError(f"cannot write {folder}", why=error.strerror or str(error), fix="--out DIR") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)

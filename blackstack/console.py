"""What people see: progress on a terminal or as plain lines, and tables. Nothing here decides anything."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from blackstack.errors import told
from blackstack.finding import Finding
from blackstack.progress import Progress, StageClock

REFRESH_HZ = 8
_GAP = 2  # blanks between columns
_UNIT = 4  # columns of « GiB»: a number keeps its unit beside it, where there is room at all
_HIGHEST = 4  # lines of a cell; where one would be higher, blocks are easier to read
_NARROWEST = 20  # columns for a sentence, however deep it stands
_ENDLESS = 10_000  # columns where there is no terminal: nothing is cut or folded in a pipe
out = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _ENDLESS)  # results
err = Console(stderr=True, highlight=False, soft_wrap=True)  # everything about the way there


@dataclass
class PlainProgress(StageClock):
    """Progress where there is no terminal: a line when a stage begins, and how long it took."""

    def stage(self, name: str) -> None:
        """Name the stage; close the one before with its seconds."""
        super().stage(name)
        err.print(Text(f"· {name}"))

    def finish(self, *, failed: bool = False) -> None:
        """Close the current stage with its seconds."""
        if self.current:
            err.print(Text(f"  {self.current}: {'failed after ' if failed else ''}{self.elapsed:.1f} s"))
        super().finish()

    def close(self) -> None:
        """Leave the terminal as it was."""

    def command(self, text: str) -> None:
        """Print the command."""
        err.print(Text(f"+ {text}"))

    def note(self, text: str) -> None:
        """Print the sentence."""
        err.print(Text(text))


@dataclass
class LiveProgress(StageClock):
    """Progress on a terminal: a spinner with stage and clock, and under it the newest line of the log."""

    newest: str = ""
    spinner: Spinner = field(default_factory=lambda: Spinner("dots", style="cyan"))
    live: Live = field(init=False)

    def __post_init__(self) -> None:
        self.live = Live(self, console=err, refresh_per_second=REFRESH_HZ, transient=True)
        self.live.start()

    def __rich__(self) -> Table:
        """Draw the two lines; called by Rich as often as it refreshes."""
        grid = Table.grid(padding=(0, 1))
        self.spinner.update(text=Text(f"{self.current or 'starting'}  {self.elapsed:.0f} s"))
        grid.add_row(self.spinner)
        grid.add_row(Text(self.newest, style="dim", no_wrap=True, overflow="ellipsis"))
        return grid

    def finish(self, *, failed: bool = False) -> None:
        """Close the current stage with a mark and its seconds."""
        mark = ("✗ ", "red") if failed else ("✓ ", "green")
        if self.current:
            self.live.console.print(Text.assemble(mark, f"{self.current}  {self.elapsed:.1f} s"))
        super().finish()
        self.newest = ""

    def close(self) -> None:
        """Leave the terminal as it was."""
        self.live.stop()

    def line(self, text: str) -> None:
        """Show the newest line."""
        self.newest = text.strip() or self.newest

    def command(self, text: str) -> None:
        """Print the command above the spinner."""
        self.live.console.print(Text(f"+ {text}", style="dim"))

    def note(self, text: str) -> None:
        """Print the sentence above the spinner."""
        self.live.console.print(Text(text))


@contextmanager
def progress() -> Iterator[Progress]:
    """Give a progress that fits the terminal, and put the terminal back at the end, whatever happens."""
    watching = LiveProgress() if err.is_terminal and not err.is_dumb_terminal else PlainProgress()
    try:
        yield watching
    except BaseException:
        watching.finish(failed=True)
        raise
    else:
        watching.finish()
    finally:
        watching.close()


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, indent: int = 0) -> None:
    """Print a table on standard output; on a terminal that is too narrow for it, a block for each row.

    Args:
        heads: of the columns.
        rows: shape (rows, columns); the first column names the row.
        indent: columns that are left free on the left.
    """
    room = out.width - indent
    whole = sum(max(map(cell_len, cells)) for cells in zip(heads, *rows, strict=True))
    # Closer columns are easier to read than broken cells.
    gap = next((gap for gap in (_GAP, 1) if whole + gap * (len(heads) - 1) <= room), _GAP)
    widths = widths_within(heads, rows, room - gap * (len(heads) - 1))
    drawn = _columns(heads, rows, widths, gap) if widths else _blocks(heads, rows)
    _put(Padding(drawn, (0, 0, 0, indent), expand=False))


def pairs(data: Mapping[str, str]) -> None:
    """Print names and values, one pair a line; a long value goes on under itself."""
    _put(_listed(data.items()))


def widths_within(heads: Sequence[str], rows: Sequence[Sequence[str]], room: int) -> tuple[int, ...] | None:
    """Return the widths at which a table is still easy to read, within so many columns of a terminal, or None.

    No word is cut: a name or a path must be good to copy. Columns of sentences share what is left, and no cell is
    higher than a few lines.
    """
    columns = list(zip(heads, *rows, strict=True))
    wanted = [max(map(cell_len, cells)) for cells in columns]
    if sum(wanted) <= room:
        return tuple(wanted)
    widths = [max(cell_len(word) for cell in cells for word in cell.split() or [""]) for cells in columns]
    spare = room - sum(widths)
    by_wish = sorted(range(len(columns)), key=lambda column: wanted[column] - widths[column])
    for done, column in enumerate(by_wish):  # the smallest wish first: what it leaves is for the others
        wish, share = wanted[column] - widths[column], max(spare, 0) // (len(columns) - done)
        more = min(wish, max(spare, 0) if wish <= _UNIT else share)
        widths[column] += more
        spare -= more
    highest = max(len(Text(cell).wrap(out, widths[at])) for at, cells in enumerate(columns) for cell in cells)
    return None if spare < 0 or highest > _HIGHEST else tuple(widths)


def _columns(heads: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], gap: int) -> Table:
    drawn = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0), collapse_padding=True, header_style="bold")
    for head, width in zip(heads, widths, strict=True):
        drawn.add_column(head, width=width, overflow="fold")
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    return drawn


def _blocks(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Group:
    """Draw each row as its name and, under it, a line for each of its cells that holds something."""
    return Group(*(part for name, *cells in rows for part in (Text(name, style="bold"), _block(heads[1:], cells))))


def _block(heads: Sequence[str], cells: Sequence[str]) -> Padding:
    named = zip(heads, cells, strict=True)
    told = [(head.lower() if head.isupper() else head, cell) for head, cell in named if cell]
    return Padding(_listed(told), (0, 0, 0, _GAP), expand=False)


def _listed(named: Iterable[tuple[str, str]]) -> Table:
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in named:
        grid.add_row(Text(name), Text(value))
    return grid


def _put(drawn: RenderableType) -> None:
    """Print what has columns, without the blanks that fill them up on the right."""
    with out.capture() as capture:
        out.print(drawn, soft_wrap=False)
    for line in capture.get().splitlines():
        raw(line.rstrip())


def say(text: str = "") -> None:
    """Print a line on standard output; a terminal folds it where it must, so that a command can be copied whole."""
    out.print(Text(text))


def prose(text: str) -> None:
    """Print sentences on standard output, broken between words where the terminal ends; each line keeps its indent."""
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip())
        room = max(out.width - indent, _NARROWEST)
        for part in Text(line.strip()).wrap(out, room) or [Text()]:
            raw(" " * indent + part.plain.rstrip())


def finding(one: Finding) -> None:
    """Print what is wrong, with its evidence, its cause and what mends it: commands are not broken."""
    head, why = f"{one.severity}: {one.title}  [{one.code}]", (*one.evidence, one.cause)
    whole, sentences = told(head, why, one.fix), told(head, why, ())
    prose(sentences)
    if one.fix:
        say(whole.removeprefix(sentences).removeprefix("\n"))


def tell(text: str) -> None:
    """Print a line about the way there, on standard error."""
    err.print(Text(text))


def data(value: object) -> None:
    """Print data for machines, which people can read too: JSON, and nothing else."""
    raw(json.dumps(value, indent=2, ensure_ascii=False))


def raw(line: str) -> None:
    """Print a line of somebody else's, unchanged."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()

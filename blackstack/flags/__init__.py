"""What each version of an engine understands: its flags and variables, as data taken from its own parser.

``known`` reads the data, ``ranges`` which numbers a flag may have, ``command`` reads a command line as that parser
would, ``extract`` makes the data (alone, in an environment that has the engine's wheel): ``nox -s parsers --
vllm==0.33.0``.
"""

from blackstack.flags.command import Reading, Use, read
from blackstack.flags.known import Flag, Gone, Known, became, closest, first_with, gone, versions
from blackstack.flags.ranges import Range, ranges

__all__ = [
    "Flag",
    "Gone",
    "Known",
    "Range",
    "Reading",
    "Use",
    "became",
    "closest",
    "first_with",
    "gone",
    "ranges",
    "read",
    "versions",
]

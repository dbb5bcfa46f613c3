"""What each version of an engine understands: its flags and variables, as data taken from its own parser.

``known`` reads the data, ``command`` reads a command line as that parser would, ``extract`` makes the data (alone, in
an environment that has the engine's wheel): ``nox -s parsers -- vllm==0.33.0``.
"""

from blackstack.flags.command import Reading, Use, read
from blackstack.flags.known import Flag, Gone, Known, became, closest, first_with, gone, versions

__all__ = [
    "Flag",
    "Gone",
    "Known",
    "Reading",
    "Use",
    "became",
    "closest",
    "first_with",
    "gone",
    "read",
    "versions",
]

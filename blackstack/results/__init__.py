"""The record of a measurement: what was asked for, what was found inside, what it ran on, and what came out.

One JSON file a measurement. The three layers stand side by side, because any one of them alone has misled people; a
record that lacks one says so, and is no baseline. ``write`` makes records, ``read`` takes them back, old ones too.
"""

from blackstack.results.read import Record, Reported, Run, Summary, load, parse
from blackstack.results.write import LAYERS, SCHEMA, Result, default_path, save

__all__ = [
    "LAYERS",
    "SCHEMA",
    "Record",
    "Reported",
    "Result",
    "Run",
    "Summary",
    "default_path",
    "load",
    "parse",
    "save",
]

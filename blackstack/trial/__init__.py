"""Bring a stack up in one way, prove it, measure it, take it down, keep the record, go on whatever happens.

::

    axes · ladder · verdict · tune      which cells: what is tried, and what is made of it
                │
    loop ──► attempt ──► Trial          one cell after the other; what is done is kept in a folder
      │         │
    ground    serving · bench · diagnose

A cell is a stack with some wishes; a trial is what came of it. Nothing here prints.
"""

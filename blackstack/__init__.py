"""Serve LLMs on a consumer Blackwell GPU: reliable, fast and provable.

Data goes one way, and each arrow is one frozen object::

    catalog ──► plan ──► runtime ──► ready ──► bench ──► results ──► report
    (wanted)     ▲      (carried out)        (measured)   (files)
    host ────────┘
    (present)

Before ``plan`` all is knowledge, after it all is action. ``errors`` and ``shell`` lie underneath.
"""

__version__ = "2026.11.0"

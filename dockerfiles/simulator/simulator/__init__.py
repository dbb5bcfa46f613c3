"""A deterministic OpenAI-compatible server that shows on demand each fault of a real engine.

It answers from a schedule, not from a model, and records when it sent what::

    with Simulator(Behaviour(ttft_ms=20, faults={"cut": 9})) as server:
        measure(Target(url=server.url), Workload(requests=96))
    assert len(server.served) == 96

``serve.py`` beside this folder serves it as an engine, with an engine's stages and log: it is what the stack
`simulator` runs. It uses the standard library alone, because an image with Python and nothing else is its home.
"""

from simulator.behaviour import PROFILES, STAGES, Behaviour, Ending, Start
from simulator.server import Served, Simulator

__all__ = ["PROFILES", "STAGES", "Behaviour", "Ending", "Served", "Simulator", "Start"]

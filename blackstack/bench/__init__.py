"""A benchmark client for OpenAI-compatible servers that tells the truth under load.

::

    Workload ──► run ──► load ──► stream ──► backlog ──► reading ──► tally ──► Measurement
    (asked)             (when)   (bytes,     (later)    (events)    (numbers)
                                  stamps)

Between the socket and the stamp there is nothing; whatever a packet means is found out when there is time. That
one decision is why the numbers are the server's and not the client's. This package imports nothing of blackstack
but its errors: ``python -m blackstack.bench`` works on any server.
"""

from blackstack.bench.measure import measure
from blackstack.bench.measurement import Measurement
from blackstack.bench.target import Target
from blackstack.bench.workload import Workload

__all__ = ["Measurement", "Target", "Workload", "measure"]

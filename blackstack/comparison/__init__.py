"""Two records held against each other: which is faster, how sure that is, and what else differs between them.

``A`` is the baseline, ``B`` what is held against it. Every measure's effect is a ratio with an interval; the verdict is
drawn from the interval, never from the ratio alone. Records that did different work are not compared at all.
"""

from blackstack.comparison.compare import Comparison, compare
from blackstack.comparison.differences import Difference
from blackstack.comparison.effect import Effect, Verdict

__all__ = ["Comparison", "Difference", "Effect", "Verdict", "compare"]

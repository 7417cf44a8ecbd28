"""How a run of the benchmarks was asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Options:
    """quick : few covers and runs, to see that it works. full : the largest sizes too."""

    quick: bool = False
    full: bool = False

    def pick(self, usual: int, quick: int) -> int:
        """Choose a size or a number of runs."""
        return quick if self.quick else usual

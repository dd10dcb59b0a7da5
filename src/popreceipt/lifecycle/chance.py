"""The chance that examples are drawn with: one seed, the same draws, whatever else is loaded.

Hypothesis' own source of draws mixes in constants that it finds in the modules which happen to be loaded, and keeps
them in a folder beside the caller's files. This one knows a seed and nothing else. Shrinking uses Hypothesis' own.
"""

import random
from collections.abc import Mapping
from typing import Any, ClassVar

from hypothesis.internal.conjecture.providers import AVAILABLE_PROVIDERS, PrimitiveProvider

BACKEND = "popreceipt"
"""The name under which Hypothesis' settings know it."""


class SeededChance(PrimitiveProvider):
    """Draws from a pseudo-random source; `seeded` says which, before Hypothesis makes one.

    Our machines draw whole numbers and truth values alone; the other kinds of draws are there because an interface
    has them, and are plain.
    """

    seed: ClassVar[str] = "0"
    lifetime: ClassVar[Any] = "test_function"

    def __init__(self, conjecturedata: Any, /) -> None:
        super().__init__(conjecturedata)
        self._source = random.Random(self.seed)  # noqa: S311 - examples of tests, not secrets

    def draw_boolean(self, p: float = 0.5) -> bool:
        """True with this probability."""
        return self._source.random() < p

    def draw_integer(
        self,
        min_value: int | None = None,
        max_value: int | None = None,
        *,
        weights: Mapping[int, float] | None = None,
        shrink_towards: int = 0,
    ) -> int:
        """Any number between the bounds; a hundred to either side of the simplest one where there is no bound."""
        if weights is not None:
            return self._source.choices(tuple(weights), tuple(weights.values()))[0]
        low = min_value if min_value is not None else min(shrink_towards, max_value or shrink_towards) - 100
        high = max_value if max_value is not None else max(shrink_towards, low) + 100
        return self._source.randint(low, high)

    def draw_float(
        self,
        *,
        min_value: float = -1e9,
        max_value: float = 1e9,
        allow_nan: bool = True,  # noqa: ARG002 - none is drawn
        smallest_nonzero_magnitude: float = 0.0,
    ) -> float:
        """Any number between the bounds, as far as a thousand million reaches."""
        drawn = self._source.uniform(max(min_value, -1e9), min(max_value, 1e9))
        return drawn if abs(drawn) >= smallest_nonzero_magnitude else max(0.0, min_value)

    def draw_string(self, intervals: Any, *, min_size: int = 0, max_size: int = 10) -> str:
        """Characters of these intervals."""
        return "".join(chr(self._source.choice(intervals)) for _ in range(self._size(min_size, max_size)))

    def draw_bytes(self, min_size: int = 0, max_size: int = 10) -> bytes:
        """Any bytes."""
        return self._source.randbytes(self._size(min_size, max_size))

    def _size(self, least: int, most: int) -> int:
        return self._source.randint(least, max(least, min(most, least + 10)))


def seeded(seed: str) -> str:
    """Let the next examples be drawn with this seed; the name of the backend for Hypothesis' settings."""
    SeededChance.seed = seed
    AVAILABLE_PROVIDERS[BACKEND] = f"{__name__}.{SeededChance.__name__}"
    return BACKEND

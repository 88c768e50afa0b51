"""Who asks how often -> whether to answer: a bucket of tokens for each."""

import time
from collections.abc import Callable

MOST_KEYS = 20_000  # remembered; full buckets are forgotten first


class RateLimit:
    """Let each key through `burst` times at once and `per_second` from then on.

    Args:
        burst: size of a bucket.
        per_second: how fast it fills.
        clock: seconds that never go back.
    """

    def __init__(
        self, burst: float, per_second: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.burst = burst
        self.per_second = per_second
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}  # tokens, when

    def allows(self, key: str) -> bool:
        """Take a token of a key's bucket; false where it is empty."""
        now = self._clock()
        tokens = self._fill(key, now)
        if tokens < 1:
            return False
        self._buckets[key] = (tokens - 1, now)
        if len(self._buckets) > MOST_KEYS:
            self._forget(now)
        return True

    def is_empty(self, key: str) -> bool:
        """Whether a key would be refused; takes nothing."""
        return self._fill(key, self._clock()) < 1

    def _fill(self, key: str, now: float) -> float:
        tokens, then = self._buckets.get(key, (self.burst, now))
        return min(self.burst, tokens + (now - then) * self.per_second)

    def _forget(self, now: float) -> None:
        kept = {k: b for k, b in self._buckets.items() if self._fill(k, now) < self.burst}
        self._buckets = dict(list(kept.items())[-MOST_KEYS // 2 :])

"""How many threads do something fastest, by trying."""

import statistics


class Trials:
    """Finds out whether all threads or one alone do faster what is done again and again.

    Which it is depends on where the system puts them: of two processors that share no cache, each
    waits long for what the other has made. That changes while a program runs, so it is tried from time
    to time.

    Args:
        length: Times in a row that a number of threads is tried.
        settling: Of those, until arrays are in the caches of those who work on them.
        period: Times from one trial to the next.
        begins: Whether it begins with a trial; else with all threads, for a period.
    """

    def __init__(
        self, length: int = 8, settling: int = 3, period: int = 1000, begins: bool = True
    ) -> None:
        self._length, self._settling, self._period = length, settling, period
        self._count = 0 if begins else 2 * length
        self._most = 1
        self._is_alone = False
        self._times: tuple[list[float], list[float]] = [], []

    def choose(self, most: int) -> int:
        """Choose how many threads do it the next time.

        Args:
            most: How many there are.

        Returns:
            That, or 1.
        """
        self._most = most
        return 1 if self._is_alone != (self._length <= self._count < 2 * self._length) else most

    def note(self, seconds: float) -> None:
        """Take notice of how long that took.

        Args:
            seconds: The time.
        """
        if self._most < 2:
            return
        if self._count < 2 * self._length:
            self._times[self._count // self._length].append(seconds)
        self._count += 1
        if self._count == 2 * self._length:
            now, other = (statistics.median(times[self._settling :]) for times in self._times)
            self._is_alone ^= other < now
            self._times[0].clear()
            self._times[1].clear()
        self._count %= self._period

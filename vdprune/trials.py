"""How many threads do something fastest, by trying."""

import statistics

_LENGTH = 8  # times in a row that a number of threads is tried
_SETTLING = 3  # of those, until arrays are in the caches of those who work on them
_PERIOD = 1000  # times from one trial to the next


class Trials:
    """Finds out whether all threads or one alone do faster what is done again and again.

    Which it is depends on where the system puts them: of two processors that share no cache, each
    waits long for what the other has made. That changes while a program runs, so it is tried from time
    to time.
    """

    def __init__(self) -> None:
        self._count = 0
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
        return 1 if self._is_alone != (_LENGTH <= self._count < 2 * _LENGTH) else most

    def note(self, seconds: float) -> None:
        """Take notice of how long that took.

        Args:
            seconds: The time.
        """
        if self._most < 2:
            return
        if self._count < 2 * _LENGTH:
            self._times[self._count // _LENGTH].append(seconds)
        self._count += 1
        if self._count == 2 * _LENGTH:
            now, other = (statistics.median(times[_SETTLING:]) for times in self._times)
            self._is_alone ^= other < now
            self._times[0].clear()
            self._times[1].clear()
        self._count %= _PERIOD

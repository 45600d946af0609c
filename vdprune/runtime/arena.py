"""Where values lie while a network runs: a place is used again when its value is not needed any more."""


class Arena:
    """Hands out parts of one array, counted in numbers of one example."""

    def __init__(self) -> None:
        self.size = 0
        self._taken: dict[int, int] = {}

    def take(self, size: int) -> int:
        """Take the first gap that is large enough.

        Args:
            size: How many numbers.

        Returns:
            Where they begin.
        """
        place = 0
        for begin in sorted(self._taken):
            if begin - place >= size:
                break
            place = begin + self._taken[begin]
        self._taken[place] = size
        self.size = max(self.size, place + size)
        return place

    def give_back(self, place: int) -> None:
        """Give back what begins at a place."""
        del self._taken[place]

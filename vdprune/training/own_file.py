"""A run's own file, which no other may write meanwhile."""

from pathlib import Path

from vdprune.errors import FileWriteError


class OwnFile:
    """Notices when somebody else has written a file since it was last looked at.

    Args:
        path: The file; it need not be there.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.remember()

    def remember(self) -> None:
        """Take the file as it is for what it has to be."""
        self._known = self._identify()

    def check(self) -> None:
        """Make sure that the file is as it was, or gone.

        Raises:
            FileWriteError: Somebody else has written it.
        """
        if self._identify() not in (None, self._known):
            raise FileWriteError(
                f"{self._path} was written by somebody else, perhaps another run of the same name, "
                "while this run went on: it stops here and leaves that file as it is; give each run a "
                "file of its own"
            )

    def _identify(self) -> tuple[int, ...] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns

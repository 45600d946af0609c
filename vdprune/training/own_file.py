"""A run's own file, which no other may write meanwhile."""

from pathlib import Path

from vdprune.errors import FileWriteError
from vdprune.storage import SEAL_SIZE


class OwnFile:
    """Notices when somebody else has changed a sealed file since it was last looked at.

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
            FileWriteError: Somebody else has changed it.
        """
        if self._identify() not in (None, self._known):
            raise FileWriteError(
                f"{self._path} was changed while this run went on, perhaps by another run of the same "
                "name: this one stops here and leaves that file as it is; give each run a file of its "
                "own"
            )

    def _identify(self) -> bytes | None:
        """Read the file's seal, which some file systems keep longer than numbers and times."""
        try:
            with self._path.open("rb") as file:
                file.seek(max(0, self._path.stat().st_size - SEAL_SIZE))
                return file.read()
        except OSError:
            return None

"""A server's own folder below a data folder that several servers share."""

import fcntl
import shutil
from itertools import count
from pathlib import Path

from photoz_archive.files import make_folder


class ServerFolder:
    """The first numbered folder that no living server holds.

    The lock goes with the process, so that a server which starts after another was killed takes over its folder
    and with it the jobs.
    """

    def __init__(self, folder: Path) -> None:
        for number in count():
            self._folder = folder / str(number)
            make_folder(self._folder)
            self._lock = (self._folder / "lock").open("w")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._lock.close()
            else:
                break
        shutil.rmtree(self.scratch_folder, ignore_errors=True)

    @property
    def jobs_folder(self) -> Path:
        """Where the jobs and their results lie."""
        return self._folder / "jobs"

    @property
    def scratch_folder(self) -> Path:
        """Where the database may spill."""
        return self._folder / "scratch"

    def release(self) -> None:
        """Release the folder for another server."""
        self._lock.close()

"""Reads the bytes of a cache from any number of threads and processes."""

import io
import os
import stat
from typing import Any, Dict, Optional, Tuple

from dvs_prep.errors import CacheDamagedError, CacheError, CacheMissingError


class CacheFile:
    """A cache's file, open for reading.

    Every read names its position, so threads and forked processes do not disturb each other. A pickled copy, as a
    spawned process gets one, opens the file again at its first read.
    """

    path: str
    """Absolute, so that a process in another working directory finds it."""

    _file: Optional[io.FileIO] = None
    _stamp: Optional[Tuple[int, int]] = None

    def __init__(self, path: str) -> None:
        """Opens `path`.

        Raises:
            CacheMissingError: there is no such file.
            CacheError: it cannot be read, or is not a regular file.
        """
        self.path = os.path.abspath(path)
        self.open()

    def open(self) -> io.FileIO:
        """Opens the file if it is not open, and checks that nobody has changed it."""
        file = self._file
        if file is None:
            opened = self._opened()
            # Another thread may have been faster. Python does this step at once.
            file = vars(self).setdefault("_file", opened)
            if file is not opened:
                opened.close()
        status = os.fstat(file.fileno())
        stamp = (status.st_size, status.st_mtime_ns)
        if self._stamp is None:
            self._stamp = stamp
        if stamp != self._stamp:
            raise CacheError(f"the cache {self.path} was changed or replaced after it was opened. Open it again")
        return file

    def _opened(self) -> io.FileIO:
        try:
            # Opening a pipe would wait for a writer.
            if not stat.S_ISREG(os.stat(self.path).st_mode):
                raise self.not_a_cache("it is not a regular file")
            return io.FileIO(self.path)
        except FileNotFoundError as error:
            raise CacheMissingError(
                f"there is no cache {self.path}. Make it with dvs-prep or dvs_prep.frames_dataset, or name another file"
            ) from error
        except OSError as error:
            raise CacheError(f"cannot read the cache {self.path}: {error.strerror}") from error

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return os.fstat(self.open().fileno()).st_size

    def read(self, size: int, position: int) -> bytes:
        """The `size` bytes from byte `position` on, or fewer if the file ends before."""
        file = self.open()
        try:
            return os.pread(file.fileno(), size, position)
        except OSError as error:
            reason = f"{size} bytes from byte {position} on: {error.strerror}"
            raise CacheError(f"cannot read the cache {self.path}: {reason}") from error

    def not_a_cache(self, reason: str) -> CacheError:
        """The error for a file that is no cache."""
        return CacheError(f"{self.path} is not a frame cache: {reason}. Name a file that dvs-prep made")

    def damaged(self, key: str, reason: str) -> CacheDamagedError:
        """The error for damage at `key`, an attribute, dataset or row."""
        return CacheDamagedError(
            f"the cache {self.path} is damaged at {key}: {reason}. Make it again with `dvs-prep --force`"
        )

    def close(self) -> None:
        """Closes the file. The next read opens it again."""
        file: Optional[io.FileIO] = vars(self).pop("_file", None)
        if file is not None:
            file.close()

    def __del__(self) -> None:
        self.close()

    def __getstate__(self) -> Dict[str, Any]:
        return {"path": self.path, "_stamp": self._stamp}

"""The frame caches of dvs-prep in Python: `FrameCache` reads one, `frames_dataset` makes one and reads it."""

from dvs_prep.errors import (
    CacheDamagedError,
    CacheError,
    CacheMismatchError,
    CacheMissingError,
    CacheVersionError,
    PreparationError,
)

try:
    from dvs_prep.frame_cache import FrameCache
except ModuleNotFoundError as error:
    if error.name not in ("h5py", "numpy"):
        raise
    message = f"dvs_prep needs h5py and NumPy, and {error.name} is missing: pip install 'dvs-prep[python]'"
    raise ModuleNotFoundError(message, name=error.name) from error
from dvs_prep.preparation import frames_dataset

__all__ = [
    "CacheDamagedError",
    "CacheError",
    "CacheMismatchError",
    "CacheMissingError",
    "CacheVersionError",
    "FrameCache",
    "PreparationError",
    "frames_dataset",
]

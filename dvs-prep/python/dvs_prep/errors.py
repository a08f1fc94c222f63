"""The errors of this package. Each message says what failed, on which file, and what to do."""


class CacheError(ValueError):
    """A cache cannot be used. The subclasses say why, if one of these common reasons applies."""


class CacheMissingError(CacheError, FileNotFoundError):
    """There is no file of that name."""


class CacheVersionError(CacheError):
    """The cache has another format version than this package reads."""


class CacheDamagedError(CacheError):
    """The cache contradicts its format or its checksums, or it was cut off while it was written."""


class CacheMismatchError(CacheError):
    """The cache holds other frames than those asked for."""


class PreparationError(RuntimeError):
    """dvs-prep made no cache, or was not found. The message is the program's own."""

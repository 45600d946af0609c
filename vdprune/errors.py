"""The errors that vdprune raises; each message says what is wrong and what to do."""


class VdpruneError(Exception):
    """Base class of every error that vdprune raises on purpose."""


class ArgumentError(VdpruneError, ValueError):
    """An argument, or a combination of arguments, that has no meaning."""


class DatasetError(VdpruneError):
    """A data set that can't be found, read or used."""


class FileFormatError(VdpruneError):
    """A file that is missing, damaged, of another format or of another version."""


class FileWriteError(VdpruneError):
    """A file that could not be written; the one that it would have replaced is untouched."""


class DeviceError(VdpruneError):
    """A device that is not there."""


class NonFiniteLossError(VdpruneError):
    """Training met a loss that is infinite or not a number."""

"""Where Chainer looks for the warning."""


class PerformanceWarning(RuntimeWarning):
    """Something works, but slowly."""

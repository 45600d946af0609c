"""The version, in the one place that setup.cfg and the files we write read it from."""

__version__ = "0.1.0"

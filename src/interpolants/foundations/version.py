"""The library's version, where the build and every record of a run read it."""

__version__ = "0.1.0"

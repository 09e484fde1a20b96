"""The version of this goldthread."""

__all__ = ["VERSION"]

VERSION = "0.1.0"

"""The command line: one file for each command, loaded when it is asked for."""

from goldthread.cli.app import main

__all__ = ["main"]

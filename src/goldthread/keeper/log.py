"""The keeper's log, where its carrier writes too."""

from __future__ import annotations

import logging

__all__ = ["write_log"]


def write_log(handler: logging.Handler, level: int) -> None:
    """Have this handler write what is said from this level on."""
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger("goldthread").addHandler(handler)
    logging.getLogger("goldthread").setLevel(level)

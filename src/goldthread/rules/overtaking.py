"""When a commit on its way to the holder is given up for a newer one."""

from __future__ import annotations

from typing import Final

__all__ = ["may_overtake"]

_VAIN_SHARE: Final = 3


def may_overtake(sent: int, in_vain: int, wanted: int) -> bool:
    """Whether to turn to a newer commit now.

    `sent`: bytes (or chunks) of the one under way that went already; `wanted`: of how many, all that the holder lacked
    of it; `in_vain`: what went for others that were given up since the holder had a whole one. At most a third of a
    commit goes in vain, so a program that commits faster than its commits travel is held three quarters as often as if
    each were finished; one that pauses after a burst has its newest commit held sooner. What has not begun is not given
    up: small commits in quick succession would never begin.
    """
    return sent > 0 and _VAIN_SHARE * (sent + in_vain) <= wanted

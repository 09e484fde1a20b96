"""What lets a life go on: until when, as its keeper says in the pulse, and waiting for more.

Nobody else can stop a life in time: its keeper may sleep, or be dead, when the voucher runs out. So the program
looks for itself, at every beat and at every seal. What is promised:

- No call of `commit` returns for a commit that was sealed after the voucher had run out. The voucher is looked at
  just before the seal and again just after it; a program that was stopped between the two takes the seal back, and
  waits.
- So after the voucher has run out at most one seal appears, the one that was already past its first look, and only
  until the program runs on. Nobody is told of it, and where another life has begun meanwhile it has the higher
  epoch, so the seal counts nowhere, also where the program is killed before it can take it back.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from goldthread.clock import now
from goldthread.names import seconds
from goldthread.program.beat import Heart
from goldthread.program.telling import tell

__all__ = ["Voucher"]

_POLL_SECONDS: Final = 0.005
_SAID_AFTER: Final = seconds(1)


class Voucher:
    def __init__(self, heart: Heart, look: Callable[[], None], life: str) -> None:
        """`look` sees whether the keeper is there; it raises `Fenced` where a newer life exists. `life` names it."""
        self._until = heart.vouched_until
        self._look = look
        self._life = life

    @property
    def stands(self) -> bool:
        """Whether the life is vouched for now. Costs half a microsecond where a voucher is needed, less elsewhere."""
        until: int = self._until[0]
        return until == 0 or now() < until

    def wait(self) -> None:
        """Return when the life is vouched for. Raises `Fenced` where a newer one exists."""
        until = self._until[0]
        if until and now() >= until:
            self._wait()

    def _wait(self) -> None:
        began, said = now(), False
        while not self.stands:
            self._look()
            if not said and now() - began > _SAID_AFTER:
                said = True
                tell(f"{self._life} waits: nobody vouches for it; it goes on when its partner or the lease store does")
            time.sleep(_POLL_SECONDS)
        if said:
            tell(f"{self._life} goes on: it waited {(now() - began) / 1e9:.1f} s for a voucher")

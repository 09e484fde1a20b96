"""The circle as this keeper's door knows it: who shows its secret may see what is offered here, and tie a bond."""

from __future__ import annotations

from goldthread.errors import PartnerError
from goldthread.keeper.keeper import Keeper
from goldthread.names import KeeperId
from goldthread.report import Contact
from goldthread.terms import Terms
from goldthread.wire.bonds import CircleShown
from goldthread.wire.circle import Role, is_proof, prove

__all__ = ["Circle"]


class Circle:
    """`label` is this host's; `caller` and `listener` are always the fingerprints of the two ends of a link."""

    def __init__(self, keeper: Keeper, secret: bytes, label: str) -> None:
        self._keeper = keeper
        self._secret = secret
        self._label = label
        self.terms = Terms()
        """What this keeper lends to a partner that the circle brings, until a person says otherwise."""

    def prove(self, caller: bytes, listener: bytes) -> bytes:
        return prove(self._secret, Role.CALLER, caller, listener)

    def check_caller(self, shown: bytes, caller: bytes, listener: bytes) -> None:
        """Raises `PartnerError` for whoever is not of this circle."""
        self._require(is_proof(shown, self._secret, Role.CALLER, caller, listener))

    def check_listener(self, shown: bytes, caller: bytes, listener: bytes) -> None:
        self._require(is_proof(shown, self._secret, Role.LISTENER, caller, listener))

    def offer(self, caller: bytes, listener: bytes) -> CircleShown:
        views = self._keeper.machine.bond_views()
        heard = tuple(view.partner for view in views if not view.ended and view.contact is not Contact.SILENT)
        return CircleShown(prove(self._secret, Role.LISTENER, caller, listener), self._label, self.terms, heard)

    def check_tie(self, keeper: KeeperId) -> None:
        """What a person ended is not tied again by the circle. Raises `PartnerError`."""
        for view in self._keeper.machine.bond_views():
            if view.partner == keeper and (view.ended or view.ending):
                raise PartnerError(
                    "a person ended the bond with this keeper", hint="tie it by hand: goldthread bond invite"
                )

    @staticmethod
    def _require(holds: bool) -> None:
        if not holds:
            raise PartnerError("it is not of this circle: its proof of the secret is wrong")

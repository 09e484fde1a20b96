"""Keepers on the local network: this one says by multicast DNS where it is, and hears where others are.

All of it is a hint. Anybody may say anything there, so no more is believed than that somebody might be dialled; who
answers is known by its key, and by its proof of the circle. Only addresses of IP version 4 are said and heard.
"""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from goldthread.errors import KeeperError, UsageError
from goldthread.keeper.interfaces import own_hosts
from goldthread.names import KeeperId
from goldthread.wire.addresses import ADDRESSES_MOST, parse_address, write_address

if TYPE_CHECKING:
    from zeroconf import Zeroconf

__all__ = ["NEIGHBOURS_MOST", "Neighbours"]

NEIGHBOURS_MOST: Final = 64
_SERVICE: Final = "_goldthread._tcp.local."
_ANSWERED_MS: Final = 1000


class Neighbours:
    """`host` is where this keeper listens; empty: at all addresses of this machine. Whatever is heard may come from
    another thread."""

    def __init__(self, me: KeeperId, host: str, port: int) -> None:
        self._name = f"{me}.{_SERVICE}"
        self._hosts = [one for one in ([host] if host else own_hosts()) if _is_of_version_4(one)]
        self._port = port
        self._heard: dict[str, tuple[str, ...]] = {}
        self._zeroconf: Zeroconf | None = None

    def open(self) -> None:
        """Say and hear from now on. It takes a second or two. Raises `KeeperError`."""
        try:
            from zeroconf import Error, IPVersion, ServiceBrowser, ServiceInfo, Zeroconf
        except ImportError:
            raise KeeperError(
                "the library for it is not installed", hint='pip install "goldthread[neighbours]"'
            ) from None
        try:
            self._zeroconf = Zeroconf(interfaces=self._hosts, ip_version=IPVersion.V4Only)
            ServiceBrowser(self._zeroconf, _SERVICE, listener=self)  # type: ignore[arg-type]
            info = ServiceInfo(
                _SERVICE, self._name, self._port, parsed_addresses=self._hosts, server=f"{self._name[:32]}.local."
            )
            self._zeroconf.register_service(info, cooperating_responders=True)
        except (OSError, Error) as error:
            self.close()
            raise KeeperError(
                f"multicast does not work at {', '.join(self._hosts) or 'any address'}: {error}"
            ) from error

    def close(self) -> None:
        """Say that this keeper is gone."""
        zeroconf, self._zeroconf = self._zeroconf, None
        if zeroconf is not None:
            zeroconf.close()

    def places(self) -> list[str]:
        """Where keepers may be, each `host:port`."""
        return [place for places in list(self._heard.values()) for place in places]

    def note(self, name: str, hosts: list[str], port: int) -> None:
        """Remember where somebody says to be, unless there are too many of them."""
        if name == self._name or (name not in self._heard and len(self._heard) >= NEIGHBOURS_MOST):
            return
        places = [write_address(host, port) for host in hosts[:ADDRESSES_MOST]]
        with suppress(UsageError):  # Port 0, or a host of a form that cannot be dialled.
            for place in places:
                parse_address(place)
            self._heard[name] = tuple(places)

    # What the library calls

    def add_service(self, zeroconf: Any, kind: str, name: str) -> None:
        info = zeroconf.get_service_info(kind, name, timeout=_ANSWERED_MS)
        if info is not None:
            self.note(name, info.parsed_addresses(), info.port or 0)

    def update_service(self, zeroconf: Any, kind: str, name: str) -> None:
        self.add_service(zeroconf, kind, name)

    def remove_service(self, zeroconf: Any, kind: str, name: str) -> None:
        self._heard.pop(name, None)


def _is_of_version_4(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).version == 4
    except ValueError:
        return False

"""At which addresses other hosts can reach this one."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["own_hosts"]

_SIOCGIFADDR: Final = 0x8915
_REQUEST: Final = struct.Struct("16s24x")
_ADDRESS: Final = slice(20, 24)
_ELSEWHERE: Final = (("192.0.2.1", socket.AF_INET), ("2001:db8::1", socket.AF_INET6))
"""Addresses that stand for no host. The kernel says from where it would send there, and nothing is sent."""


def own_hosts() -> list[str]:
    """The one towards other networks first; the loopback's only where there is no other."""
    hosts = [*_outward(), *_of_version_4(), *_of_version_6()]
    usable = [host for host in dict.fromkeys(hosts) if not _is_local(host)]
    return usable or ["127.0.0.1"]


def _is_local(host: str) -> bool:
    address = ipaddress.ip_address(host)
    return address.is_loopback or address.is_link_local or address.is_unspecified


def _outward() -> list[str]:
    hosts = []
    for place, family in _ELSEWHERE:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect((place, 9))
            hosts.append(str(asking.getsockname()[0]))
    return hosts


def _of_version_4() -> list[str]:
    """The first address of each interface."""
    hosts = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        for _, name in socket.if_nameindex():
            with suppress(OSError):  # One without an address.
                answer = fcntl.ioctl(asking, _SIOCGIFADDR, _REQUEST.pack(name.encode()))
                hosts.append(socket.inet_ntoa(answer[_ADDRESS]))
    return hosts


def _of_version_6() -> list[str]:
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:
        return []
    return [str(ipaddress.IPv6Address(bytes.fromhex(line.split()[0]))) for line in lines]

"""Addresses of keepers as people write them: `host:port`, `[2001:db8::7]:port`."""

from __future__ import annotations

from typing import Final

from goldthread.errors import UsageError

__all__ = ["ADDRESSES_MOST", "parse_address", "parse_listen", "write_address"]

ADDRESSES_MOST: Final = 16
"""More are not kept of one keeper."""
_HOST_LENGTH: Final = 255
_PORT_MOST: Final = 65535
_NAME_SIGNS: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_")
_NUMBER_SIGNS: Final = frozenset("0123456789abcdefABCDEF:.")


def parse_address(text: str) -> tuple[str, int]:
    """The host and the port. Raises `UsageError`."""
    host, colon, port = text.rpartition(":")
    signs = _NAME_SIGNS
    if host.startswith("[") and host.endswith("]"):
        host, signs = host[1:-1], _NUMBER_SIGNS
    fits = bool(colon) and 0 < len(host) <= _HOST_LENGTH and set(host) <= signs
    if not fits or not (port.isascii() and port.isdecimal() and len(port) <= 5 and 0 < int(port) <= _PORT_MOST):
        raise UsageError(f"{text[:_HOST_LENGTH]!r} is no address", hint="a host and a port: 192.0.2.7:7070, iruka:7070")
    return host, int(port)


def parse_listen(text: str) -> tuple[str, int]:
    """Where to listen, from `host:port`, `host` or `:port`: a host that is not said is empty, a port 0.

    Raises `UsageError`.
    """
    if not text:
        return "", 0
    if text.startswith(":") and not text.startswith("::"):
        return "", parse_address(f"any{text}")[1]
    if text.count(":") > 1 and not text.startswith("["):
        text = f"[{text}]"
    if ":" in text and not text.endswith("]"):
        return parse_address(text)
    return parse_address(f"{text}:1")[0], 0


def write_address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

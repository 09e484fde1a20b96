"""Which variables of a program travel to another host, and which never do.

Three kinds stay behind: credentials, since whoever holds a member need not hold its user's keys; what belongs to one
login session; and what each host has its own of. A variable that its user names travels whatever its kind.

Credentials are known by their names, and by a password in the value's address. That is a sieve, not a proof: a secret
under an innocent name travels. Who cannot risk that names nothing, and keeps secrets in files that are read at need.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase
from typing import Final

__all__ = ["host_variables", "travelling"]

_CREDENTIALS: Final = (
    "*TOKEN*", "*SECRET*", "*PASSWORD*", "*PASSWD*", "*PASSPHRASE*", "*PASSCODE*", "*CREDENTIAL*", "*PRIVATE*",
    "*_KEY", "*_KEYS", "*_KEY_*", "KEY", "*APIKEY*", "*ACCESSKEY*", "*_PW", "*_PWD", "*_PASS", "PASS", "*PASSFILE*",
    "*_PAT", "*_AUTH", "*_AUTH_*", "*AUTHORIZATION*", "*COOKIE*", "*_DSN", "*CONNECTION_STRING*", "*_SAS", "*_PIN",
    "*NETRC*", "*SIGNATURE*", "*SESSION_ID*", "*BEARER*", "*_JWT", "*_OTP", "DATABASE_URL", "AWS_*", "AZURE_*",
    "GOOGLE_*", "GCP_*", "OCI_*", "VAULT_*", "KUBE*", "DOCKER_*", "GITHUB_*", "GITLAB_*", "CI_*", "ACTIONS_*",
    "NPM_CONFIG_*", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX*",
)  # fmt: skip
_NO_CREDENTIALS: Final = (
    "*_CA_BUNDLE", "*_CA_CERTS", "*_CA_CERTS_FILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_DEFAULT_OUTPUT",
    "AWS_PAGER", "AWS_RETRY_MODE", "AWS_MAX_ATTEMPTS", "AWS_ENDPOINT_URL*", "AZURE_REGION", "GOOGLE_CLOUD_PROJECT",
    "GOOGLE_CLOUD_REGION",
)  # fmt: skip
"""Settings under the names of services whose other variables are credentials."""
_OF_A_SESSION: Final = (
    "DISPLAY", "WAYLAND_*", "XAUTHORITY", "XDG_*", "DBUS_*", "DESKTOP_*", "GNOME_*", "KDE_*", "GTK_*", "QT_*",
    "SSH_*", "GPG_*", "GNUPGHOME", "KRB5*", "TMUX*", "STY", "TERM*", "COLORTERM", "LS_COLORS", "WINDOWID", "SHLVL",
    "PWD", "OLDPWD", "_", "MAIL", "SUDO_*", "INVOCATION_ID", "JOURNAL_STREAM", "SYSTEMD_*", "NOTIFY_SOCKET",
    "LISTEN_*", "MANAGERPID", "BASH_*", "ZSH_*", "PS1", "PROMPT*", "HIST*", "LESS*", "EDITOR", "VISUAL", "PAGER",
    "VSCODE_*",
)  # fmt: skip
_OF_A_HOST: Final = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "SHELL",
        "HOSTNAME",
        "HOST",
        "TMPDIR",
        "TEMP",
        "TMP",
        "TZ",
        "VIRTUAL_ENV",
        "PYTHONHOME",
    }
)
_OF_A_KEEPER: Final = "GOLDTHREAD_*"
"""Said anew by each keeper, but for what says how to gather the bundle."""
_OF_A_BUNDLE: Final = "GOLDTHREAD_BUNDLE*"


def travelling(environment: Mapping[str, str], named: Collection[str] = ()) -> tuple[dict[str, str], tuple[str, ...]]:
    """The variables that travel, and the names of the credentials that stay: those that a program may miss."""
    goes, stays = {}, []
    for name, value in environment.items():
        if name in named:
            goes[name] = value
        elif _is_credential(name) or _has_password(value):
            stays.append(name)
        elif not _is_bound_to_its_place(name):
            goes[name] = value
    return goes, tuple(sorted(stays))


def host_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Those that each host has its own of."""
    return {name: environment[name] for name in _OF_A_HOST if name in environment}


def _is_credential(name: str) -> bool:
    return _is_one_of(name, _CREDENTIALS) and not _is_one_of(name, _NO_CREDENTIALS)


def _has_password(value: str) -> bool:
    """Whether an address in it has one: `https://ann:secret@host/`."""
    authorities = [part.partition("/")[0] for part in value.split("://")[1:]]
    return any(":" in authority.rpartition("@")[0] for authority in authorities)


def _is_bound_to_its_place(name: str) -> bool:
    if _is_one_of(name, (_OF_A_BUNDLE,)):
        return False
    return name in _OF_A_HOST or _is_one_of(name, (*_OF_A_SESSION, _OF_A_KEEPER))


def _is_one_of(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name.upper(), pattern) for pattern in patterns)

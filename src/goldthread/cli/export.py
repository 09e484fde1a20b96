"""`goldthread export`: the newest commit in a form that needs no goldthread to read."""

from __future__ import annotations

import os
from pathlib import Path

import click

from goldthread.cli.arguments import MEMBER, json_option
from goldthread.cli.screen import print_json, progress, size
from goldthread.errors import KeeperError, UsageError
from goldthread.local import Home, reach_keeper
from goldthread.names import MemberName
from goldthread.wire.messages import CopyFound, CopyRequest

__all__ = ["export"]


@click.command(epilog="Example: goldthread export train train.safetensors")
@click.argument("member", type=MEMBER)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@json_option
def export(member: MemberName, file: Path, as_json: bool) -> int:
    """Write MEMBER's newest whole commit: its arrays to FILE as safetensors, all else beside it as JSON.

    The commit is checked first. A running program is not disturbed.
    """
    from goldthread.state.export import export_image

    folder = file.absolute().parent
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{file} cannot be written: {folder} is no folder that you may write to")
    with progress(f"the newest commit of {member} is written"), reach_keeper(Home.default(), "command") as channel:
        answer, descriptors = channel.ask(CopyRequest(member))
        if not isinstance(answer, CopyFound):
            raise KeeperError(f"the keeper gave an answer of another kind: {type(answer).__name__}")
        try:
            written = export_image(descriptors[0], file)
        finally:
            os.close(descriptors[0])
    if as_json:
        print_json(
            {"member": member, "commit": answer.commit, "level": answer.level, "files": [str(p) for p in written]}
        )
        return 0
    for path in written:
        click.echo(f"{path}: {answer.commit}, {size(path.stat().st_size)}")
    return 0

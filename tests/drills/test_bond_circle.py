"""Hosts of one circle: nobody ties a bond by hand, and a lost partner is followed by another one."""

from __future__ import annotations

import secrets
from pathlib import Path

from hosts import Hosts
from stage import STEPS

from goldthread.report import Contact
from goldthread.wire.circle import CIRCLE_BYTES, write_circle


def test_partner_lost_and_another_found_in_the_circle(tmp_path: Path) -> None:
    """Two hosts tie a bond of themselves. One is lost, and a third one comes, and one of another circle: the third
    becomes the holder, the copy is whole again, and it takes over when the owner is lost too."""
    circle, other = (write_circle(secrets.token_bytes(CIRCLE_BYTES)) for _ in range(2))
    with Hosts(tmp_path, "iruka", "kakashi", circle=circle, partner_grace="1s", seek_every="2s") as hosts:
        iruka, kakashi = hosts["iruka"], hosts["kakashi"]
        iruka.until_contact("kakashi", Contact.FRESH)
        kakashi.until_contact("iruka", Contact.FRESH)
        hosts.hold_at(20)
        iruka.run(STEPS)
        iruka.until_guarded(20)
        hosts.kill_host("kakashi")
        stranger = hosts.add("naruto", circle=other)
        sakura = hosts.add("sakura")
        iruka.until(lambda member: member.holder == "sakura" and bool(member.vouched), "another holder")
        iruka.until_held(20)
        sakura.until_holder("iruka")
        assert "walk is exposed: kakashi, which held its copy, is silent: " in iruka.alarms()
        assert "in its circle: " in iruka.alarms() + sakura.alarms()
        report = stranger.report()
        assert report is not None and report.bonds == ()
        hosts.kill_host("iruka")
        sakura.until_step(20, 2)
        hosts.ends_well(sakura, STEPS)
        sakura.blames("iruka")

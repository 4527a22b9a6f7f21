"""Alertmanager's configuration: what goes where, what mutes what, with and without receivers."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from prometheus import build
from prometheus.table import load
from tests.prometheus.promtool import ROOT
from tests.support.observed import BINARIES

pytestmark = pytest.mark.promtool

SITES = {
    "nothing set": {},
    "mail": {
        "alertmanager_smtp_smarthost": "mail.example.org:587",
        "alertmanager_smtp_from": "voicebot@example.org",
        "alertmanager_page_mail": "night@example.org, day@example.org",
        "alertmanager_ticket_mail": "day@example.org",
    },
    "mail with a password": {
        "alertmanager_smtp_smarthost": "mail.example.org:587",
        "alertmanager_smtp_from": "voicebot@example.org",
        "alertmanager_smtp_user": "voicebot",
        "alertmanager_smtp_password_file": "/etc/alertmanager/smtp-password",
        "alertmanager_page_mail": "night@example.org",
    },
    "mail by a relay of the house": {
        "alertmanager_smtp_smarthost": "relay.example.org:25",
        "alertmanager_smtp_from": "voicebot@example.org",
        "alertmanager_smtp_require_tls": False,
        "alertmanager_page_mail": "night@example.org",
    },
    "webhooks": {
        "alertmanager_page_webhook": "https://pager.example.org/hook?key=a&b=c#d",
        "alertmanager_ticket_webhook": "http://127.0.0.1:8000/tickets",
        "alertmanager_heartbeat_webhook": "https://heartbeat.example.org/ping",
    },
    "all": {
        "alertmanager_smtp_smarthost": "mail.example.org:587",
        "alertmanager_smtp_from": "voicebot@example.org",
        "alertmanager_page_mail": "night@example.org",
        "alertmanager_page_webhook": "https://pager.example.org",
        "alertmanager_heartbeat_webhook": "https://heartbeat.example.org",
    },
}  # fmt: skip


def amtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [BINARIES / "amtool", *arguments], capture_output=True, text=True, timeout=20, check=False
    )


@pytest.mark.parametrize("site", SITES.values(), ids=SITES.keys())
def test_alertmanager_takes_what_a_site_makes_of_the_template(
    site: dict[str, str | bool], tmp_path: Path
) -> None:
    shutil.copy(ROOT / "prometheus/voicebot.tmpl", tmp_path)
    file = tmp_path / "alertmanager.yml"
    file.write_text(build.alertmanager(**site))
    done = amtool("check-config", file)
    assert done.returncode == 0, done.stdout + done.stderr
    content = yaml.safe_load(file.read_text())
    encrypted = content.get("global", {}).get("smtp_require_tls", True)
    assert encrypted == site.get("alertmanager_smtp_require_tls", True)
    places = {
        receiver["name"]: {
            *(mail["to"] for mail in receiver.get("email_configs", ())),
            *(hook["url"] for hook in receiver.get("webhook_configs", ())),
        }
        for receiver in content["receivers"]
    }
    assert places == {
        name: {
            value
            for key, value in site.items()
            if re.fullmatch(f"alertmanager_{name}_(mail|webhook)", key)
        }
        for name in ("page", "ticket", "heartbeat")
    }


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("alertname=VoicebotDown severity=page", "page"),
        ("alertname=HostDiskFull severity=ticket", "ticket"),
        ("alertname=Watchdog severity=none", "heartbeat"),
        ("alertname=SomethingOfTheSite", "ticket"),
        ("alertname=SomethingOfTheSite severity=warning", "ticket"),
    ],
)
def test_an_alert_goes_where_it_should(labels: str, receiver: str) -> None:
    done = amtool(
        "config", "routes", "test", f"--config.file={ROOT / 'prometheus/alertmanager.yml'}",
        f"--verify.receivers={receiver}", *labels.split(),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def configuration() -> Any:
    return yaml.safe_load((ROOT / "prometheus/alertmanager.yml").read_text())


def test_a_page_is_sent_within_seconds() -> None:
    """The three minutes from a fault to the page have no room for more."""
    (page,) = (r for r in configuration()["route"]["routes"] if r["receiver"] == "page")
    assert page["group_wait"] == "5s"


def test_what_mutes_and_is_muted_exists() -> None:
    table = load()
    names = {c.name for c in table.causes} | {o.alert for o in table.objectives.values()}
    for rule in configuration()["inhibit_rules"]:
        for matcher in rule["source_matchers"] + rule["target_matchers"]:
            label, sign, value = re.fullmatch(r'(\w+)(!=|=~|=)"(.*)"', matcher).groups()  # type: ignore[union-attr]
            if label == "alertname" and sign != "=~":
                assert value in names
            elif label == "alertname":
                for part in value.split("|"):
                    assert any(re.fullmatch(part, name) for name in names), part

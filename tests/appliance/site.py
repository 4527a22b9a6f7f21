"""The one site that is set up here, and the customers who call it."""

from __future__ import annotations

from typing import Any

from tests.support.customers import WANTS_A_TECHNICIAN
from tests.support.fresh_host import ADMIN, TECHNICIAN, TRUNK
from voicebot.simulator import scenario

AGAIN = "Vous pouvez répéter ?"
HELPED = scenario.load("internet-resolved")
TRANSFERRED = WANTS_A_TECHNICIAN
VARIABLES: dict[str, Any] = {
    "grafana_enabled": False,  # its image cannot be had where the tests run
    "host_ssh_from": [f"{ADMIN}/32"],
    "host_rtp_from": [f"{TRUNK}/32", f"{TECHNICIAN}/32"],
    "asterisk_trunks": [
        {"name": "operator", "addresses": [TRUNK]},
        {"name": "office", "addresses": [TECHNICIAN], "contact": f"sip:{TECHNICIAN}:5060"},
    ],
    "asterisk_technicians": ["600@office"],
    # The caller of the upgrade says nothing until the playbook comes to the restart.
    "voicebot_settings": {
        "TECHNICIANS": "always",
        "SILENCE_WARNING_TIMEOUT": 60,
        "SILENCE_HANGUP_TIMEOUT": 120,
    },
    "backup_target": "/srv/the backups",
    "verify_probe": False,  # its calls would be counted among the tests'
}

"""Say what is wrong with the settings of a site and with the host's ports, a line each.

Runs on the host, with the Python that it comes with (3.10 on Ubuntu 22.04). It is given the names
of the secrets that are set, not their values.
"""

import difflib
import json
import os
import pwd
import re
import socket
import subprocess

site = json.loads(os.environ["SITE"])
known = set(site["known"])
secrets = set(site["secrets"])

for variable, names in (("voicebot_settings", site["settings"]), ("voicebot_secrets", secrets)):
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {close[0]}?" if close else "see docs/reference/settings.md"
            print(f"{variable}: {name}: there is no such setting; {hint}")
for name in site["settings"]:
    if re.search(r"_(KEY|TOKEN|PASSWORD|SECRET)$", name):
        print(
            f"voicebot_settings: {name} is a secret: it belongs into voicebot_secrets, and its "
            "value into the vault"
        )
if site["speech"] == "cloud":
    if "DEEPGRAM_API_KEY" not in secrets:
        print(
            "voicebot_secrets: DEEPGRAM_API_KEY is missing or empty: with voicebot_speech=cloud "
            "nobody else listens"
        )
    if not secrets & {"OPENAI_API_KEY", "DEEPGRAM_API_KEY"}:
        print(
            "voicebot_secrets: OPENAI_API_KEY or DEEPGRAM_API_KEY: with voicebot_speech=cloud "
            "nobody else speaks"
        )

for user in pwd.getpwall():
    if user.pw_uid == site["uid"] and user.pw_name != "voicebot":
        print(f"voicebot_uid: {site['uid']} is {user.pw_name!r} on this host already")

state = subprocess.run(
    ["systemctl", "show", "-p", "ActiveState", "--value", "voicebot.service"],
    stdout=subprocess.PIPE,
    text=True,
    check=False,
).stdout.strip()
# Ours is not there, nor about to be (a unit that fails again and again is `activating`): whoever
# has its ports is somebody else.
if state in ("inactive", "failed", ""):
    for variable, port in site["ports"].items():
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as attempt:
            attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                attempt.bind(("0.0.0.0", port))  # noqa: S104 -- to see whether it is free
            except OSError:
                print(
                    f"{variable}: port {port} is taken on this host by another program "
                    f"(ss -lntp 'sport = :{port}'); stop it, or choose another port"
                )

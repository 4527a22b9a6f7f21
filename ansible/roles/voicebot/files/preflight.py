"""Say which keys are missing, and what is wrong with the host's users and ports, a line each.

Runs on the host, with the Python that it comes with (3.10 on Ubuntu 22.04). It is given the names
of the secrets that are set, not their values.
"""

import json
import os
import pwd
import socket
import subprocess

site = json.loads(os.environ["SITE"])
secrets = set(site["secrets"])

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

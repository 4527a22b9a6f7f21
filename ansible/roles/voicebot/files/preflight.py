"""Say what is wrong with settings, keys and script of a site; the voicebot itself knows them.

Runs on the controller, with this checkout's package voicebot in PYTHONPATH. Reads from standard
input the texts of all settings, the names of those that the site sets, and the secrets, of which it
prints none.
"""

import difflib
import json
import os
import sys
from pathlib import Path

from voicebot import config, script_file
from voicebot.dialogue.script import ScriptError

site = json.load(sys.stdin)
table = {found.metadata["env"]: found.metadata for found in config.described()}
ours = {  # other roles go by these, too
    "AUDIOSOCKET_HOST": "voicebot_address",
    "AUDIOSOCKET_PORT": "voicebot_audiosocket_port",
    "BACKUP_TARGET": "backup_target",
    "CONTROL_HOST": "voicebot_address",
    "CONTROL_PORT": "voicebot_control_port",
    "LOOP_CORE": "cpu_layout_loop",
    "PROBE_SIP_ADDRESS": "asterisk_sip_port",
    "SCRIPT_FILE": "voicebot_script",
    "WORKER_CORES": "cpu_layout_workers",
}

LONGEST_DRAIN = 680  # seconds; the container is killed soon after (docker/flags.yaml, stop_seconds)
seen = ("/var/lib/voicebot", "/etc/voicebot")  # by the container, of the host's folders

wrong = set()
for variable, names in (("voicebot_settings", site["own"]), ("voicebot_secrets", site["secrets"])):
    for name in names:
        if name not in table:
            close = difflib.get_close_matches(name, table, 1)
            hint = f"did you mean {close[0]}?" if close else "see docs/reference/settings.md"
            print(f"{variable}: {name}: there is no such setting; {hint}")
            wrong.add(name)
for name in site["own"]:
    if name in table and table[name]["secret"]:
        print(
            f"voicebot_settings: {name} is a secret: it belongs into voicebot_secrets, and its "
            "value into the vault"
        )
        wrong.add(name)
    elif name in ours:
        print(f"voicebot_settings: {name} follows from {ours[name]}: set that in place of it")
        wrong.add(name)
    elif not (text := site["texts"].get(name, "")).isprintable():
        print(f"voicebot_settings: {name}={text!r}: must be one line of text")
        wrong.add(name)
    elif (
        name in table
        and table[name]["unit"] == "path"
        and text.startswith("/")
        and not f"{text}/".startswith(tuple(f"{one}/" for one in seen))
    ):
        print(
            f"voicebot_settings: {name}={text!r}: the container sees /var/lib/voicebot and no "
            "other folder of the host: put it there, or mount its disk there"
        )

secrets = {name: str(value).strip() for name, value in site["secrets"].items()}
for name, value in secrets.items():
    try:
        if not isinstance(site["secrets"][name], str):
            raise ValueError("must be text; put it between quotes")
        if not value.isprintable():
            raise ValueError("must be one line of text")
        if name in table:
            table[name]["parse"](value)
    except ValueError as error:
        print(f"voicebot_secrets: {name}=(hidden): {error}")
        wrong.add(name)

given = {"VOICEBOT_ENV_FILE": os.devnull, "EMBEDDED_ENGINE": str(site["speech"] != "cloud").lower()}
given |= {name: text for name, text in (site["texts"] | secrets).items() if name not in wrong}
try:
    settings = config.load(given)
    if settings.drain_timeout > LONGEST_DRAIN:
        print(
            f"voicebot_settings: DRAIN_TIMEOUT={settings.drain_timeout:g}: its container gets "
            f"{LONGEST_DRAIN} s at most to end calls, and is killed with those that are left"
        )
except config.SettingsError as error:
    for fault in error.faults:
        # Which key is missing with voicebot_speech=cloud is said below.
        if "=auto: there is nobody" not in fault:
            print(f"voicebot_settings: {fault.replace(' (environment)', '')}")

if site["speech"] == "cloud":
    if "DEEPGRAM_API_KEY" not in secrets:
        print(
            "voicebot_secrets: DEEPGRAM_API_KEY is missing or empty: with voicebot_speech=cloud "
            "nobody else listens"
        )
    if not secrets.keys() & {"OPENAI_API_KEY", "DEEPGRAM_API_KEY"}:
        print(
            "voicebot_secrets: OPENAI_API_KEY or DEEPGRAM_API_KEY: with voicebot_speech=cloud "
            "nobody else speaks"
        )

if site["script"]:
    try:
        script_file.load(Path(site["script"]))
    except ScriptError as error:
        for fault in error.faults:
            print(f"voicebot_script: {fault.removesuffix(' (SCRIPT_FILE)')}")

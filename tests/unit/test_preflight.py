"""Mistakes of operators in their one file: what the playbook says before it changes anything."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.preflight import REPOSITORY, problems

pytestmark = pytest.mark.timeout(600)

GOOD: dict[str, Any] = {
    "asterisk_trunks": [{"name": "operator", "addresses": ["198.51.100.7"]}],
    "asterisk_technicians": ["600@operator"],
    "grafana_enabled": False,
    "alertmanager_smtp_smarthost": "mail.example.org:587",
    "alertmanager_smtp_from": "voicebot@example.org",
    "alertmanager_page_mail": "one@example.org, two@example.org",
    "alertmanager_page_webhook": "https://example.org/page",
    "backup_target": "/mnt/the other disk/sav",
    "backup_at": "*/20 4-6,22 1-15/2 jan,jul mon-fri",
    "asterisk_sip_port": 5080,
    "voicebot_settings": {"MAX_CONCURRENT_CALLS": 20, "TRACE_TRANSCRIPTS": False},
}


def test_a_site_as_it_should_be_is_let_pass(tmp_path: Path) -> None:
    assert problems(tmp_path, GOOD) == []


def test_mistakes_are_named_all_at_once(tmp_path: Path) -> None:
    telephone = {"name": "selfcheck", "number": "601", "password": "long enough; for all "}
    (tmp_path / "script.yaml").write_text("prompts: {greeting: [\n")
    found = problems(
        tmp_path,
        {
            **GOOD,
            "asterisk_trunks": [
                {"name": "probe", "addresses": ["192.0.2.10"]},
                {"name": "operator", "addresses": ["198.51.100.7"], "watch": True},
                {
                    "name": "third",
                    "addresses": ["2001:db8::7"],
                    "contact": "sip.operator.example",
                    "registration": {
                        "server": "sip:sip.operator.example",
                        "username": "0912345678@operator.example",
                        "password": "long enough; for all",
                    },
                },
                {"name": "third-auth", "addresses": ["198.51.100.8"]},
            ],
            "asterisk_phones": [telephone, {**telephone, "name": "six", "password": "short"}],
            "asterisk_address": "198.51.100.9",
            "asterisk_external_address": "198.51.100.9:5060",
            "asterisk_metrics_port": 9093,
            "asterisk_rtp_ports": [20000, 20019],
            "asterisk_most_calls": 20,
            "voicebot_image": "voicebot:$(date)",
            "voicebot_address": "192.0.2.9",
            "asterisk_tls_check_at": "30 25 * * *",
            "alertmanager_smtp_smarthost": "mail.example.org",
            "alertmanager_page_mail": "the night shift",
            "alertmanager_page_webhook": "example.org/page",
            "alertmanager_smtp_user": "voicebot\nsmtp_require_tls: false",
            "alertmanager_smtp_require_tls": False,
            "prometheus_retention": "90 days",
            "prometheus_retention_size": "10 GB",
            "cpu_layout_housekeeping": [],
            "grafana_enabled": True,
            "grafana_admin_password": "long enough for it",
            "grafana_address": "voicebot-1",
            "host_sip_from": ["office.example.org"],
            "host_sip_rate": 0,
            "host_packages": ["cron", "nftables; reboot"],
            "host_journal_days": -1,
            "node_exporter_textfile_folder": "/srv/the metrics",
            "recordings_retention_hours": 0,
            "backup_hours": 0,
            "verify_rolback": False,
            "appliance_sip_prot": 5080,
            "voicebot_script": str(tmp_path / "script.yaml"),
            "backup_target": "/mnt/50%/sav",
            "backup_at": "every night",
            "recordings_memory": "1 GB",
            "recordings_convert_at": "0 3 * * * root",
            "recordings_convert_arguments": "--delete-raw > /tmp/log",
            "host_journal_max": "2 GB",
            "voicebot_secrets": {
                "OTLP_HEADERS": "sk-not-to-be-seen",
                "GROQ_API_KEY": "sk-not-to-be-seen\nnor this",
                "DEEPGRAM_KEY": "sk-not-to-be-seen",
                "OPENAI_API_KEY": "",
                "BACKUP_ACCESS_KEY": 12345678,
            },
            "voicebot_settings": {
                "LOG_LEVEL": "info\ndebug",
                "MAX_CONCURRENT_CALLS": "many",
                "SILENCE_WARNING_TIMEOUT": None,
                "CONTROL_PORT": 9180,
                "AUDIOSOCKET_HOST": "0.0.0.0",
                "OPENAI_API_KEY": "sk-not-to-be-seen",
                "TECHNICIAN": "always",
                "RECORDINGS_DIR": "/mnt/recordings",
            },
        },
    )
    for words in (
        "asterisk_trunks (probe): 'probe' is a name of the appliance's own",
        "asterisk_trunks (probe): addresses: 192.0.2.10 is the example's, and nobody's",
        "asterisk_phones (selfcheck): 'selfcheck' is a name of the appliance's own",
        "asterisk_phones (selfcheck): number: 601 is another telephone's as well",
        "asterisk_phones (selfcheck): password: has spaces at its ends",
        "asterisk_phones (six): the password is empty or shorter than 12 characters",
        "asterisk_address: 198.51.100.9: test calls and the self-check call 127.0.0.1",
        "asterisk_trunks (third): addresses: '2001:db8::7' is no address",
        "asterisk_trunks (third): registration: server: 'sip:sip.operator.example' is no name",
        "asterisk_trunks (third): registration: username: '0912345678@operator.example'",
        "asterisk_trunks (third): contact: 'sip.operator.example' is no address of SIP",
        "asterisk_trunks (third-auth): 'third-auth' is a name of the appliance's own",
        "asterisk_external_address: '198.51.100.9:5060' is no address",
        "asterisk_local_networks: empty, but there is asterisk_external_address",
        "alertmanager_port: 9093 is asterisk_metrics_port as well",
        "alertmanager_smtp_user: has spaces at its ends, or more than one line",
        "alertmanager_smtp_user: its password would be sent for everybody to read",
        "prometheus_retention: 90 days is no time as Prometheus writes it",
        "prometheus_retention_size: 10 GB is no size as Prometheus writes it",
        "cpu_layout_housekeeping: names no core",
        "grafana_address: voicebot-1 is no address that the host has",
        "host_sip_from: 'office.example.org' does not appear to be",
        "host_sip_rate: 0 would let no call in",
        "host_packages: 'nftables; reboot' is no name of a package",
        "host_journal_days: -1 is below zero",
        "node_exporter_textfile_folder: /srv/the metrics must be a folder without spaces",
        "recordings_convert_hours, recordings_retention_hours: 0 would be no limit",
        "backup_hours: 0 would be no limit",
        "voicebot_image: voicebot:$(date) is no name of an image",
        "verify_rolback: no role has such a variable; a typing error?",
        "appliance_sip_prot: no role has such a variable; a typing error?",
        "voicebot_secrets: BACKUP_ACCESS_KEY=(hidden): must be text; put it between quotes",
        "voicebot_settings: LOG_LEVEL='info\\ndebug': must be one line of text",
        f"voicebot_script: {tmp_path}/script.yaml: line 2",
        "asterisk_rtp_ports: 20000 to 20019 are 20 ports; 20 calls need 80",
        "asterisk_tls_check_at: 30 25 * * * is no time as cron writes it",
        "alertmanager_smtp_smarthost: mail.example.org must be NAME:PORT",
        "alertmanager_page_mail: the night shift is no address of mail",
        "alertmanager_page_webhook: (hidden) is no address that begins with http",
        "backup_target: a folder may have letters, digits, spaces and",
        "backup_at: every night is no time as cron writes it",
        "recordings_memory: 1 GB is not as Docker writes it: 512m or 1g",
        "recordings_convert_at: 0 3 * * * root is no time as cron writes it",
        'recordings_convert_arguments: "--delete-raw > /tmp/log" has signs that cron',
        "host_journal_max: 2 GB is no size as systemd writes it",
        "voicebot_settings: MAX_CONCURRENT_CALLS='many': must be a whole number from",
        "voicebot_settings: SILENCE_WARNING_TIMEOUT='': must be a number of seconds from",
        "voicebot_settings: CONTROL_PORT follows from voicebot_control_port",
        "voicebot_settings: AUDIOSOCKET_HOST follows from voicebot_address",
        "voicebot_address: 192.0.2.9 is no address that the host has",
        "voicebot_settings: OPENAI_API_KEY is a secret: it belongs into voicebot_secrets",
        "voicebot_settings: RECORDINGS_DIR='/mnt/recordings': the container sees /var/lib/voice",
        "voicebot_secrets: OTLP_HEADERS=(hidden): must be",
        "voicebot_secrets: GROQ_API_KEY=(hidden): must be one line of text",
        "voicebot_secrets: DEEPGRAM_KEY: there is no such setting",
        "voicebot_settings: TECHNICIAN: there is no such setting; did you mean TECHNICIANS?",
    ):
        assert any(words in line for line in found), "\n".join([words, *found])
    assert "sk-not-to-be-seen" not in "\n".join(found)


def test_what_is_of_the_wrong_kind_is_named_by_its_variable(tmp_path: Path) -> None:
    """Ansible itself takes text for a list, a number for text, and nothing for anything."""
    trunks = [
        {"name": "operator", "addresses": "198.51.100.7"},
        {"name": "second", "addresses": ["198.51.100.8"], "adresses": []},
    ]
    site = {
        **GOOD,
        "asterisk_trunks": trunks,
        "asterisk_phones": [{"name": "six", "number": 0o601, "password": "long enough for it"}],
        "asterisk_technicians": "600@operator",
        "voicebot_settings": "MAX_CONCURRENT_CALLS=20",
        "host_ssh_from": "198.51.100.0/24",
        "backup_target": None,
        "backup_tarjet": "/mnt/backup",
        "recordings_convert": "perhaps",
        "asterisk_sip_port": "5080",
        "host_rtp_ports": ["20000", 20999],
        "grafana_admin_password": "{{ vault_grafana_pasword }}",
    }
    found = problems(tmp_path, site)
    for words in (
        "asterisk_trunks (operator): addresses: must be a list, such as [one, two]",
        "asterisk_trunks.adresses. Supported parameters include: addresses",
        "asterisk_phones (six): number: must be text; put it between quotes",
        "asterisk_technicians: must be a list",
        "voicebot_settings: must be names with their values",
        "host_ssh_from: must be a list",
        "backup_target: is empty; give it a value, or take the line out",
        "backup_tarjet: no role has such a variable; a typing error?",
        "recordings_convert: must be true or false, without quotes",
        "asterisk_sip_port: must be a number, without quotes",
        "host_sip_port: must be a number, without quotes",
        "host_rtp_ports: must be a number, without quotes",
        "'vault_grafana_pasword' is undefined: is it in vault.yml, and spelt alike?",
    ):
        assert any(words in line for line in found), "\n".join([words, *found])
    assert len(found) == 13, found


def test_a_port_is_looked_at_where_the_voicebot_will_listen(tmp_path: Path) -> None:
    """At all addresses of the host, say: somebody else's is at one that nobody looked at."""
    with socket.create_server(("127.0.0.2", 0)) as other:
        port = other.getsockname()[1]
        site = {**GOOD, "voicebot_audiosocket_port": port}
        taken = f"voicebot_audiosocket_port: port {port} (TCP) is taken on this host"
        for address, wanted in (("127.0.0.1", False), ("0.0.0.0", True)):
            found = problems(tmp_path, {**site, "voicebot_address": address}, machine=True)
            assert any(line.startswith(taken) for line in found) == wanted, found


def test_no_password_is_on_a_command_line_or_printed(tmp_path: Path) -> None:
    """With -vvv Ansible shows each command line; on a host sudo writes it into the log."""
    secret = "sk-not-to-be-seen"
    found = problems(
        tmp_path,
        {
            **GOOD,
            "asterisk_phones": [{"name": "six", "number": "601", "password": secret}],
            "asterisk_tls_key": secret,
            "alertmanager_smtp_user": "voicebot",
            "alertmanager_smtp_password": secret,
            "alertmanager_page_webhook": f"https://example.org/{secret}",
            "backup_target": "sav@127.0.0.1:sav",
            "backup_ssh_key": secret,
            "backup_ssh_host_key": "127.0.0.1 ssh-ed25519 AAAA",
            "grafana_enabled": True,
            "grafana_admin_password": secret,
            "voicebot_secrets": {"GROQ_API_KEY": secret},
        },
        "-vvv",
        hidden=secret,
    )
    assert any("asterisk_tls_key is given" in line for line in found), found


def test_a_drain_for_which_the_container_gets_no_time_is_told() -> None:
    program = (REPOSITORY / "ansible/roles/voicebot/files/preflight.py").read_text()
    longest = int(re.findall(r"^LONGEST_DRAIN = (\d+)", program, re.M)[0])
    flags = yaml.safe_load((REPOSITORY / "docker/flags.yaml").read_text())
    assert longest < flags["containers"]["voicebot"]["stop_seconds"]
    for seconds, words in ((longest, ""), (longest + 1, "voicebot_settings: DRAIN_TIMEOUT=681: ")):
        texts = {"DRAIN_TIMEOUT": str(seconds)}
        site = {"texts": texts, "own": [*texts], "speech": "local", "script": "", "secrets": {}}
        done = subprocess.run(
            [sys.executable, "-c", program], input=json.dumps(site), cwd=REPOSITORY,
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert done.stdout.startswith(words), done.stdout
        assert bool(done.stdout) == bool(words)


def wired(folder: Path, expression: str, **variables: object) -> str:
    """What group_vars/all.yml makes of a site's *variables*."""
    (folder / "play.yml").write_text(yaml.safe_dump([{
        "hosts": "localhost",
        "gather_facts": False,
        "vars_files": [str(REPOSITORY / "ansible/group_vars/all.yml")],
        "tasks": [{"ansible.builtin.copy": {
            "content": expression, "dest": f"{folder}/made", "mode": "0640",
        }}],
    }]))  # fmt: skip
    given = {**variables, "ansible_python_interpreter": sys.executable}
    subprocess.run(
        [REPOSITORY / ".venv/bin/ansible-playbook", folder / "play.yml",
         "-i", "localhost,", "-c", "local", "-e", json.dumps(given)],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return (folder / "made").read_text()


@pytest.mark.parametrize(("longest", "limit"), [(None, 660), (1200, 1260), ("many", 660)])
def test_asterisk_lets_a_call_last_as_long_as_the_voicebot_does(
    longest: int | str | None, limit: int, tmp_path: Path
) -> None:
    settings = {} if longest is None else {"MAX_CALL_DURATION": longest}
    made = wired(tmp_path, "{{ asterisk_call_limit }}", voicebot_settings=settings)
    assert int(made) == limit


@pytest.mark.parametrize(
    ("listens", "reached"), [("0.0.0.0", "127.0.0.1"), ("10.0.0.2", "10.0.0.2")]
)
def test_others_follow_where_the_voicebot_listens(
    listens: str, reached: str, tmp_path: Path
) -> None:
    made = wired(
        tmp_path,
        "{{ asterisk_voicebot_audiosocket }} {{ asterisk_voicebot_control }} {{ verify_control }} "
        "{{ voicebot_settings_auto.AUDIOSOCKET_HOST }} {{ voicebot_settings_auto.CONTROL_HOST }}",
        voicebot_address=listens, cpu_layout_loop=0, cpu_layout_workers=[1],
    )  # fmt: skip
    http = f"http://{reached}:9080"
    assert made.split() == [f"{reached}:9090", http, http, listens, listens]


@pytest.mark.parametrize(
    ("target", "there"), [("sav@vault:sav", True), ("restic:/mnt/sav", False), ("", False)]
)
def test_the_key_to_the_backups_goes_when_they_go_elsewhere(
    target: str, there: bool, tmp_path: Path
) -> None:
    variables = yaml.safe_load((REPOSITORY / "ansible/roles/backup/vars/main.yml").read_text())
    made = wired(
        tmp_path, "{{ __backup_key | to_json }}",
        **variables, backup_target=target, backup_ssh_key="a key", backup_ssh_host_key="a line",
    )  # fmt: skip
    (key,) = (one for one in json.loads(made) if one["path"].endswith("/id_ed25519"))
    assert (key.get("state") != "absent") == there


def test_ports_that_are_none_are_told() -> None:
    program = (REPOSITORY / "ansible/roles/asterisk/files/preflight.py").read_text()
    phone = {"name": "six", "number": "601", "password": "long enough for it"}
    site: dict[str, Any] = {
        "trunks": [], "phones": [phone], "technicians": [], "networks": [], "external": "",
        "address": "0.0.0.0", "certificate": False, "calls": 20, "sip_port": 0,
    }  # fmt: skip
    for ports in ([], [20000], [20999, 20000], [20000, 20999, 21999]):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True,
            input=json.dumps({**site, "rtp_ports": ports}),
        )  # fmt: skip
        assert done.stdout.startswith("asterisk_rtp_ports: must be the first and the last port")


TIMES = """
- hosts: localhost
  gather_facts: false
  vars: {preflight_problems: [], preflight_arguments_right: true}
  tasks:
    - ansible.builtin.include_tasks: {file: "%s"}
      vars: {preflight_times: "{{ q('ansible.builtin.varnames', '^at_') }}"}
    - ansible.builtin.copy: {content: "{{ preflight_problems | to_json }}", dest: "%s"}
"""


def test_times_are_those_that_cron_takes_and_that_come(tmp_path: Path) -> None:
    """As Debian's cron has them: of a file with one that it does not take, it runs nothing; what
    goes downwards it takes, and never runs."""
    good = (
        "30 4 * * *", "*/20 4-6,22 1-15/2 jan,jul mon-fri", "00 03 01 01 07", "*,5 3 * * */2",
        "0 3 * jan-mar 0-7", "1-1 0-23/3 1-31 * 5-7",
    )  # fmt: skip
    wrong = (
        "5/10 4 * * *", "0 3 * * * root", "60 3 * * *", "0 24 * * *", "0 3 0 * *", "0 3 * 13 *",
        "0 3 * * 8", "0 3 * *", "@daily", "every night", "0 3 * * *\n", "*/0 3 * * *", "0, 3 * * *",
        "0 22-6 * * *", "0 1-2,22-6 * * *", "0 3 * * fri-mon", "0 3 * * sat-sun", "0 3 * nov-feb *",
        "0 3 28-3/2 * *",
    )  # fmt: skip
    times = {f"at_{number:02}": time for number, time in enumerate((*good, *wrong))}
    found = tmp_path / "found.json"
    (tmp_path / "times.json").write_text(json.dumps(times))
    tasks = REPOSITORY / "ansible/roles/preflight/tasks/times.yml"
    (tmp_path / "play.yml").write_text(TIMES % (tasks, found))
    subprocess.run(
        [REPOSITORY / ".venv/bin/ansible-playbook", tmp_path / "play.yml",
         "-i", "localhost,", "-c", "local", "-e", f"@{tmp_path}/times.json",
         "-e", f"ansible_python_interpreter={sys.executable}"],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    told = [problem.partition(":")[0] for problem in json.loads(found.read_text())]
    assert {name: times[name] for name in told} == {
        name: time for name, time in times.items() if time in wrong
    }


@pytest.mark.parametrize(
    ("connection", "firewall", "words"),
    [
        ("198.51.100.5 40000 198.51.100.20 22", True, ""),
        ("198.51.100.5 40000 198.51.100.20 2222", True, "host_ssh_port: Ansible came in by port"),
        ("203.0.113.5 40000 198.51.100.20 22", True, "host_ssh_from: Ansible comes from 203"),
        ("203.0.113.5 40000 198.51.100.20 2222", False, ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("under_sudo", [False, True])
def test_a_firewall_that_would_shut_the_operator_out_is_told(
    connection: str, firewall: bool, words: str, under_sudo: bool
) -> None:
    """sudo leaves nothing of a connection in the environment of what it starts."""
    program = (REPOSITORY / "ansible/roles/host/files/preflight.py").read_text()
    site = {
        "firewall": firewall, "ssh_port": 22, "sip_rate": 100, "sysctl": {}, "packages": [],
        "networks": {"host_ssh_from": ["198.51.100.0/24"]}, "least_disk_mb": 0,
        "packages_bundled": True,
    }  # fmt: skip
    sudo = ["sh", "-c", 'env -i PATH="$PATH" "$@"; exit $?', "sudo"] if under_sudo else []
    done = subprocess.run(
        [*sudo, sys.executable, "-c", program], input=json.dumps(site),
        env={"PATH": "/usr/bin:/bin", "SSH_CONNECTION": connection},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(words), done.stdout
    assert bool(done.stdout) == bool(words)

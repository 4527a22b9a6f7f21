"""What is in the images, and what is not."""

from __future__ import annotations

import json
import re
import stat
from pathlib import Path

import pytest

from tests.support.containers import (
    ASTERISK,
    ASTERISK_UID,
    CLOUD,
    FULL,
    VOICEBOT_UID,
    Hardened,
    docker,
    inspect,
)
from voicebot import __version__

pytestmark = [pytest.mark.docker, pytest.mark.timeout(300)]

IMAGES = {CLOUD: VOICEBOT_UID, FULL: VOICEBOT_UID, ASTERISK: ASTERISK_UID}
SECRET = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\b(sk-[A-Za-z0-9]{20}|gsk_[A-Za-z0-9]{20}|AKIA[A-Z0-9]{16})"
    r"|(?i:api_key|password|secret|token)=[^\s$*{<]{8}"
)
PROGRAMS = {
    "age", "bash", "espeak-ng", "ffmpeg", "ffprobe", "healthcheck", "ionice", "python3.11",
    "restic", "rsync", "setpriv", "ssh",
    "docker-init",  # the engine's own, which it puts there
}  # fmt: skip
LIST = """
import os, stat, json
found = {}
for top, folders, files in os.walk("/"):
    folders[:] = [f for f in folders if os.path.join(top, f) not in ("/proc", "/sys", "/dev")]
    for name in files + folders:
        path = os.path.join(top, name)
        found[path] = os.lstat(path).st_mode
print(json.dumps(found))
"""


@pytest.mark.parametrize("image", IMAGES)
def test_an_image_says_what_it_is_and_runs_as_nobody_in_particular(image: str) -> None:
    config = inspect(image)["Config"]
    assert config["User"] == f"{IMAGES[image]}:{IMAGES[image]}"
    labels = config["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert re.fullmatch(
        r"[0-9a-f]{7,}(-dirty)?|unknown", labels["org.opencontainers.image.revision"]
    )
    assert config["Entrypoint"][0] in ("voicebot", "/usr/sbin/start"), "no shell between"
    assert config["Healthcheck"]["Test"][0] == "CMD"
    assert not config.get("ExposedPorts"), "what listens, the site's files say"


@pytest.mark.parametrize("image", IMAGES)
def test_no_secret_is_in_its_history_or_its_environment(image: str) -> None:
    history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    assert not SECRET.search(history)
    assert not SECRET.search("\n".join(inspect(image)["Config"]["Env"]))


KEYS = """
import os, re
for top, folders, files in os.walk("/"):
    folders[:] = [f for f in folders if os.path.join(top, f) not in ("/proc", "/sys", "/dev")]
    for name in files:
        path = os.path.join(top, name)
        try:
            beginning = open(path, "rb").read(4096)
        except OSError:
            continue
        key = re.match(rb"\\s*-----BEGIN [A-Z ]*PRIVATE KEY", beginning)
        if key or name in (".netrc", "pip.conf", "uv.toml"):
            print(path)
"""


@pytest.mark.parametrize("image", [CLOUD, FULL])
def test_no_file_in_it_is_a_key_or_says_where_packages_came_from(
    image: str, hardened: Hardened
) -> None:
    assert hardened.python(KEYS, image) == (0, "")


@pytest.mark.parametrize("image", [CLOUD, FULL])
def test_there_is_no_tool_in_it_for_somebody_who_has_got_in(image: str, hardened: Hardened) -> None:
    status, output = hardened.python(LIST, image)
    assert status == 0, output
    files = json.loads(output)
    programs = {Path(path).name for path in files if re.match(r"/usr/s?bin/.", path)}
    assert programs <= PROGRAMS
    raised = [path for path, mode in files.items() if stat.S_ISREG(mode) and mode & 0o6000]
    assert raised == [], "no program runs as somebody else"
    own = re.compile(r"/(tmp|var/lib/voicebot)(/|$)")
    open_to_all = [
        path
        for path, mode in files.items()
        if mode & 0o002 and not mode & stat.S_ISVTX and not stat.S_ISLNK(mode)
        if not own.match(path)
    ]
    assert open_to_all == []
    assert not [path for path in files if re.search(r"(^|/)(pip|setuptools|apt|dpkg)$", path)
                if not path.startswith("/var/lib/dpkg") and not path.startswith("/usr/share/doc")
                and not path.startswith("/etc")]  # fmt: skip


@pytest.mark.parametrize("image", [CLOUD, FULL])
def test_every_module_is_compiled(image: str, hardened: Hardened) -> None:
    code = (
        "import pathlib; libraries = pathlib.Path('/opt/voicebot/lib'), pathlib.Path('/usr/lib');"
        "print([str(f) for p in libraries for f in p.rglob('*.py')"
        " if not f.is_symlink()"
        " and not list((f.parent / '__pycache__').glob(f.stem + '.cpython-311.pyc'))][:5])"
    )
    assert hardened.python(code, image) == (0, "[]\n")


def test_the_cloud_image_has_no_offline_engine_and_says_which_key_it_needs(
    hardened: Hardened,
) -> None:
    status, output = hardened.run(CLOUD)
    assert status == 1
    assert "Set DEEPGRAM_API_KEY" in output
    assert "Set OPENAI_API_KEY or DEEPGRAM_API_KEY" in output


def test_a_key_that_cannot_be_read_is_named(hardened: Hardened) -> None:
    file = hardened.directory / "etc/secrets/DEEPGRAM_API_KEY"
    file.write_text("k3y")
    file.chmod(0o400)
    status, output = hardened.run(CLOUD)
    assert status == 1
    assert "/etc/voicebot/secrets/DEEPGRAM_API_KEY: cannot be read: Permission denied" in output
    assert f"gid {VOICEBOT_UID}" in output


PASSWORDS = {
    "": "the password is empty",
    "<openssl rand -base64 18>": "still the example's",
    "ChangeMe": "everybody tries first",
    "asterisk123456": "everybody tries first",
    "technician1-technician1": "",
    "k7Tq0": "has 5 characters",
    "technician1": "everybody tries first",
    "dupont.marcel": "the user's name",
}


@pytest.mark.parametrize("password", PASSWORDS)
def test_asterisk_refuses_a_password_that_can_be_guessed(password: str, tmp_path: Path) -> None:
    line = f"[technician1](phone-auth)\nusername = dupont.marcel\npassword = {password}\n"
    (tmp_path / "endpoints.conf").write_text(line)
    tmp_path.chmod(0o755)
    (tmp_path / "endpoints.conf").chmod(0o644)
    output = docker(
        "run", "--rm", "--network=none", "--entrypoint=/bin/bash",
        f"--mount=type=bind,source={tmp_path},target=/etc/asterisk/voicebot.d,readonly", ASTERISK,
        # In place of Asterisk: what follows the checks is not their matter.
        "-c", "exec() { echo passed; exit 0; }; . /usr/sbin/start", check=False,
    )  # fmt: skip
    if PASSWORDS[password]:
        assert "voicebot.d/endpoints.conf, [technician1]: the password" in output
        assert PASSWORDS[password] in output
        assert "passed" not in output
    else:
        assert output == "passed\n"

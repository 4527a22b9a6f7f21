"""The Python packages that an installation has, and none of the tools that are beside them here.

Libraries import what they find: structlog and httpx load `rich`, `pygments` and `click` where these
are installed, 5 MB that no container and no `scripts/setup cloud` has. So the measured service gets
a directory of links to those packages that requirements/image-full.txt names, in place of all that
is installed for development.
"""

from __future__ import annotations

import compileall
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

REQUIREMENTS = Path("requirements/image-full.txt")


def linked(directory: Path) -> Path:
    """Make *directory*, with links to the packages of an installation in it; returns it. Our own
    code is compiled where it is.

    Raises ValueError if one of them is not installed here in the very same version.
    """
    compileall.compile_dir("voicebot", quiet=1)
    directory.mkdir()
    for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines():
        if not line[:1].isalnum():
            continue  # a hash of the package before, or a comment
        wanted = Requirement(line.rstrip("\\ "))
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        try:
            found = distribution(wanted.name)
        except PackageNotFoundError:
            raise ValueError(f"{wanted.name} is missing: run scripts/setup test") from None
        if found.version not in wanted.specifier:
            raise ValueError(f"{wanted} is wanted, not {found.version}: run scripts/setup test")
        for top in {file.parts[0] for file in found.files or () if file.parts[0] != ".."}:
            link = directory / top
            if top != "__pycache__" and not link.exists():
                link.symlink_to(Path(str(found.locate_file(top))))
    return directory

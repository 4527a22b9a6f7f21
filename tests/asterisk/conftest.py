"""One Asterisk serves all tests here; each points it at its own voicebot and technician."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.asterisk import AsteriskInstance


@pytest.fixture(scope="session")
def asterisk() -> Iterator[AsteriskInstance]:
    with AsteriskInstance() as instance:
        yield instance

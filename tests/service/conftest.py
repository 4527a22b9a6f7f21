"""One real service for most of these tests; it takes two calls, so that "full" is soon reached."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.service import ServiceInstance

MAX_CALLS = 2


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceInstance]:
    """Ready for calls. That it stops in order after all of them is checked at the end."""
    directory = tmp_path_factory.mktemp("service")
    with ServiceInstance(directory, MAX_CONCURRENT_CALLS=str(MAX_CALLS)) as instance:
        yield instance
        assert instance.stop() == 0, "after SIGTERM, with no call left"
        assert instance.log()[-1]["event"] == "service stopped"

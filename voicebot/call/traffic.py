"""Whether a call is a caller's or a probe's, which only its id can tell.

AudioSocket carries the id and audio, nothing else. Asterisk makes ids of version 4, which are
random; version 8 is free for whatever an application means by it (RFC 9562, 5.8), and here it means
a probe. So a probe is known from its first message on, in every log and recording name, without
asking anybody (docs/decisions/0031).
"""

from __future__ import annotations

import uuid
from typing import Final

LIVE: Final = "live"
PROBE: Final = "probe"

_VERSION: Final = 8
_VERSION_SHIFT: Final = 76


def traffic_of(call_id: uuid.UUID) -> str:
    """``live`` or ``probe``: the metrics' label and the journal's column."""
    return PROBE if call_id.version == _VERSION else LIVE


def new_probe_id() -> uuid.UUID:
    """A random id of version 8."""
    number = uuid.uuid4().int & ~(0xF << _VERSION_SHIFT)
    return uuid.UUID(int=number | _VERSION << _VERSION_SHIFT)

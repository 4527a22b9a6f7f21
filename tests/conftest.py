"""For all tests: no limit of time for single examples of a property.

A machine that is busy makes one slow now and then, and that is no fault of the code.
"""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

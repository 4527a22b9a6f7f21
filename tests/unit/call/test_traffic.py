"""A probe's call is known by its id, and no caller's id can be taken for one."""

from __future__ import annotations

import uuid

from voicebot.call.traffic import new_probe_id, traffic_of


def test_ids_say_whose_call_it_is() -> None:
    probes = {new_probe_id() for _ in range(200)}
    assert len(probes) == 200
    assert {traffic_of(call_id) for call_id in probes} == {"probe"}
    assert {str(call_id)[14] for call_id in probes} == {"8"}
    assert {call_id.variant for call_id in probes} == {uuid.RFC_4122}
    assert {traffic_of(uuid.uuid4()) for _ in range(200)} == {"live"}
    assert traffic_of(uuid.uuid1()) == "live"


def test_the_form_that_the_dialplan_gives_an_id() -> None:
    asterisk = "38cb4678-7fb1-4f3d-968d-396c7cf30c07"  # as UUID() makes them
    assert traffic_of(uuid.UUID(asterisk)) == "live"
    assert traffic_of(uuid.UUID(f"{asterisk[:14]}8{asterisk[15:]}")) == "probe"


def test_an_id_that_is_no_uuid_of_the_standard_is_a_callers() -> None:
    assert traffic_of(uuid.UUID(int=0)) == "live"
    assert traffic_of(uuid.UUID("00000000-0000-8000-0000-000000000000")) == "live"

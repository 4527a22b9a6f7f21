"""Messages to and from a worker, cut anywhere."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voicebot.workers.channel import MOST_BYTES, Returned, Unpacker, pack


@given(st.lists(st.binary(max_size=50)), st.lists(st.integers(0, 400)))
def test_messages_arrive_whole_and_in_order(payloads: list[bytes], cuts: list[int]) -> None:
    sent = [Returned(payload, 0.5) for payload in payloads]
    stream = b"".join(map(pack, sent))
    edges = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]

    unpacker = Unpacker()
    received = [
        message for start, end in pairwise(edges) for message in unpacker.push(stream[start:end])
    ]

    assert received == sent


def test_a_stream_out_of_step_is_an_error_and_not_a_wait_for_gigabytes() -> None:
    with pytest.raises(ValueError, match="bytes"):
        list(Unpacker().push((MOST_BYTES + 1).to_bytes(4, "big")))

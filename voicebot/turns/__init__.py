"""Turn-taking: when does the caller speak, pause, finish, interrupt? Pure and synchronous.

:mod:`speech` turns VAD probabilities into speech that starts and stops, :mod:`endpointing`
decides when a turn is over, :mod:`turn_taker` joins the two into the events a conversation
needs, and :mod:`timeline` keeps the marks from which every latency figure is computed.
Time is an argument, in seconds of one monotonic clock.
"""

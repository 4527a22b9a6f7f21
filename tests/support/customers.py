"""Customers who call in more than one kind of test."""

from __future__ import annotations

from voicebot.simulator import scenario

WANTS_A_TECHNICIAN = scenario.parse(
    """
    title: somebody who wants a technician, and nothing else
    rules:
      - when: "je vous écoute|pas bien compris"
        say: "Je voudrais parler à un technicien."
    expect: {outcome: transferred}
    """,
    "wants-a-technician",
)

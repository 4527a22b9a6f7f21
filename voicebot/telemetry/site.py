"""What the playbook's role asterisk leaves on a host for node_exporter's textfile collector.

Written there and not by the voicebot (``ansible/roles/asterisk``): rules and reference need to know
it. A thing whose absence is to be told must be known to be wanted.
"""

from __future__ import annotations

from voicebot.telemetry.instruments import MetricInfo

INVENTORY = (
    MetricInfo(
        "asterisk_tls_configured", "gauge", "1 where there is a certificate for SIP by TLS.", {}
    ),
    MetricInfo(
        "asterisk_tls_certificate_expiry_timestamp_seconds",
        "gauge",
        "When the certificate ends that Asterisk shows by TLS.",
        {},
    ),
    MetricInfo(
        "asterisk_trunk",
        "gauge",
        "1 for each trunk of the site that is to answer (asterisk_trunks, watch).",
        {"resource": ()},
    ),
)
"""Like the inventory of :class:`~voicebot.telemetry.metrics.Metrics`."""

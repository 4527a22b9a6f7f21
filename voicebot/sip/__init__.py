"""SIP messages and RTP packets, as a telephone on this host needs them. No network, no clock."""

"""One phone call: its connection to Asterisk, its session, its recording."""

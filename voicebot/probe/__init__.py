"""A synthetic call: it hears the greeting, says goodbye, and hears whether it was understood.

It goes the way of a caller, by SIP through Asterisk, or straight to the voicebot, and measures on
the audio that comes back. The voicebot knows it by its id (:mod:`voicebot.call.traffic`).
"""

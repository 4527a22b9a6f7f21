"""The conversation: what to say, what was understood, what comes next. Pure and synchronous.

:mod:`machine` takes events and the time and returns commands. :mod:`conversation` is what it acts
on, and the only place that changes the state of a call, by the table of :mod:`states`. What the
bot says and understands comes from a :class:`~voicebot.dialogue.script.Script`, never from code.
Nothing here knows of sockets, speech engines, clocks or logs.
"""

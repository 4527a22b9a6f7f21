"""How settings are read: from which files, text into values, and what is wrong with them together.

The settings themselves are in :mod:`voicebot.config`.
"""

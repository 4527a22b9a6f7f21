"""The settings: which there are, text into values, from which files, what is wrong with them.

What puts these together is :mod:`voicebot.config`.
"""

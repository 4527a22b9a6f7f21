"""What becomes of calls afterwards: conversion, backup, retention, erasure.

Works on the journal and on the folder of recordings, beside a service that runs or not; must not
know of calls in progress beyond leaving their ``.part`` files alone. One task at a time has the
folder (:func:`voicebot.archive.recordings.exclusive`), so that none copies what another erases.
"""


class ArchiveError(Exception):
    """A task cannot be done. ``str()`` names the file, setting or program, and what to do."""


class BusyError(ArchiveError):
    """Another task has the recordings."""

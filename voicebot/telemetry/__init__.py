"""Metrics, logs and the event feed of a call. Imports nothing else of the package."""

"""The control API: what it answers, and the HTTP server under it."""

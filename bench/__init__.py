"""The figures of ``docs/reference/figures.md``, measured on this machine: ``make bench``.

Each part starts the real service as a child process and measures it from the caller's side of the
socket: what a caller does and hears, and when. Nothing here is timed inside the service, so nothing
can be made to look better in there. A busy machine makes worse figures; that is no fault of the
code, which is why these are no tests.
"""

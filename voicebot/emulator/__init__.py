"""The three cloud services as they look on the wire: Deepgram, Groq, OpenAI.

For tests, for the benchmark, and for whoever wants to try the cloud path without keys. It speaks
each vendor's protocol closely enough that the vendor's own kit cannot tell, answers after delays
drawn from published figures, and fails on demand in every way that matters to a caller. What it
cannot prove is listed in docs/reference/emulator.md.

Nothing in the service imports this package.
"""

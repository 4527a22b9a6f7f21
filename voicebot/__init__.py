"""A phone voicebot appliance: AudioSocket in, a conversation out."""

__version__ = "0.1.0"

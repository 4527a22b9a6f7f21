"""Whole sessions in virtual time, between scripted speech engines."""

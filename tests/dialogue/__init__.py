"""Conversations as screenplays: one module for each kind of situation."""

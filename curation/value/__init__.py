"""Marks that say what a trace is worth to a student."""

"""Texts as data: steps, counts, detail, shingles."""

"""Marks that say how far a trace can be trusted."""

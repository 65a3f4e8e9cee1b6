"""Marking: passes run over shards, rows that fail are isolated, foreign code is killed when it hangs."""

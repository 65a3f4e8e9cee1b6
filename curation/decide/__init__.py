"""The decision in two steps: what each row says for itself (`keys`), then rules over all rows (the other modules)."""

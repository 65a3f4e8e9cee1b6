"""Questions in SQL over corpora, datasets and runs, near and far."""

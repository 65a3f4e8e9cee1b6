"""Teachers, levels and formats side by side: figures, intervals, pictures."""

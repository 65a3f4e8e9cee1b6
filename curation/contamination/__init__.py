"""What a benchmark holds too, and what stands on both sides of a split."""

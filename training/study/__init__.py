"""Studies: one factor moved at a time, a student trained for every arm, and what the accuracies say."""

"""The parts of an evaluation: asking, backends, figures, overlap with training data, comparing two."""

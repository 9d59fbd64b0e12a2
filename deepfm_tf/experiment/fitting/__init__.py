"""One model's training in an experiment."""

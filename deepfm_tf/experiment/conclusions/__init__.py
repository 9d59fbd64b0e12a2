"""What an experiment says about its models, in sentences."""

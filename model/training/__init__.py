"""A training run: its conf, its loop, losses, optimisers, validation, checkpoints and what a person sees of it."""

"""Scoring: the serving model's logits for every candidate, and the atomic swap of that model."""

"""Simulated comparisons of strategies on candidate sets whose labels are known."""

"""Policies: rules, learners, and what they have in common."""

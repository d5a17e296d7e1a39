"""Figures: data in, matplotlib Figure out. Nothing here computes a result or touches pyplot's global state."""

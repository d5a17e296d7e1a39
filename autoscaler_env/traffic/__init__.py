"""Workloads: synthetic patterns and recorded traces."""

"""The environment: one service, many at once, and for stable-baselines3."""

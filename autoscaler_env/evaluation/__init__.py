"""What a policy costs: simulation, metrics, regret, calibration, statistics."""

"""Watch a policy scale a service."""

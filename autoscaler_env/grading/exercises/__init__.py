"""The code exercises: a module for each notebook, with the reference functions and the checks on hidden inputs."""

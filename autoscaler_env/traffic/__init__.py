"""Where days come from: synthetic patterns and recorded traffic."""

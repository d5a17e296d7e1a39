"""What should I deploy for my traffic? From request counts and prices to one recommendation, in dollars."""

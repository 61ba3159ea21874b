"""Many runs by one command: what they are made of, how they train together, and a search among them."""

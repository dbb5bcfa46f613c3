"""The benchmark client against a server whose behaviour is known."""

"""Know before you run."""

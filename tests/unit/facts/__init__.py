"""What is read from a machine."""

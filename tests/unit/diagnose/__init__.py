"""What a log says, and what becomes of it."""

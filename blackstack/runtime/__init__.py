"""Carries a plan out: with Docker, or as a supervised process. Every other module is blind to which one it is."""

"""With a real engine: images, containers, and an engine that stops."""

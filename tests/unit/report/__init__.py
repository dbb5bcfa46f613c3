"""Reports: what is in them, and how a real browser shows them."""

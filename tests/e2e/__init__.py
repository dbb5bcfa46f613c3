"""As a user types it: `inv` in a terminal, a real model, no Docker."""

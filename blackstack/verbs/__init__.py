"""What `inv` can do, a function a verb: each reads, plans, carries out and prints. They know nothing of invoke."""

"""What the doctor says, and when it keeps silent."""

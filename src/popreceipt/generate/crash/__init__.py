"""The proof that a durable emulator loses nothing: killed at random instants under load, and judged afterwards."""

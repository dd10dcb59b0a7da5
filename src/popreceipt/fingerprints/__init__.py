"""Fingerprints: what a server answered to what the documentation leaves open, as a profile that anybody can serve."""

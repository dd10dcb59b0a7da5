"""Builds the documentation site from the project's own text: pages, catalogue, command line."""

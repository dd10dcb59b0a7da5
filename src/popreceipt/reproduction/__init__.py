"""Failures that can be looked for again: the steps that led there, made small, kept in a folder, run anew."""

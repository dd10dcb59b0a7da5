"""Judging somebody's middleware: scenarios, the instrument that plays them, the subject's process, and the verdict.

The middleware is the subject and the emulator the instrument. What crossed the wire and what lay in the subject's
folders becomes a journal, and the rules that bind clients judge it.
"""

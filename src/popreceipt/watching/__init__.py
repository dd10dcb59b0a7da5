"""Watching real traffic: what a middleware and a real environment say to each other, written down as a journal.

A reverse proxy stands between them, or an addon for mitmproxy does. Neither judges: the journal is judged like any
other.
"""

"""Rules that bind a client: what the documentation asks of middleware, and what follows from the protocol.

A module a chapter, named as the chapter's module one level up, which has the rules that bind the service.
"""

"""An executable guess at the service: the connector, its back office and its issuer of tokens.

Written from the documentation alone; it imports neither the rules that judge it nor the client that calls it.
"""

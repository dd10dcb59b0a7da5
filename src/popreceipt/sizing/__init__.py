"""Which processing and monitoring recurrence to set: a plan in, a recommendation with its margin out.

Messages wait for a recurrence, are taken all at once, and are processed in order or so many at a time. A walk over the
runs answers how long they wait; closed forms stand beside it where they are exact.
"""

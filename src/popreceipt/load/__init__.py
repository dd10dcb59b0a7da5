"""Load at the rates of recurring integrations: open arrivals, honest latencies, a journal of every exchange.

Only `popreceipt.load.users`, `popreceipt.load.driving` and what they import may import Locust, which patches sockets
and threads as it is imported; whoever judges and reports runs in a process without it.
"""

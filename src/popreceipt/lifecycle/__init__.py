"""Lifecycles: Hypothesis machines that drive a target through days of a few recurring data jobs, in any order.

They only drive. What crossed the wire in an example is judged by the rules at its end.
"""

from popreceipt.lifecycle.machines import MACHINES
from popreceipt.lifecycle.running import EFFORTS, Effort, LifecycleResult, run

__all__ = ["EFFORTS", "MACHINES", "Effort", "LifecycleResult", "run"]

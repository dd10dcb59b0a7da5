"""Does an exchange of a journal have a shape that the specifications allow?

Pure: it reads one exchange and nothing else, neither what was said before nor the clock. Whether an answer was the
right one at its moment is what rules judge; here only its status, content type, headers and body are held against what
`specs/` declares for the operation. The judging itself is schemathesis'.
"""

from popreceipt.shapes.judging import CHECKS, Complaint, Shapes, complaints

__all__ = ["CHECKS", "Complaint", "Shapes", "complaints"]

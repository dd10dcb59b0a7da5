"""Import producers, and status pollers that ask what became of each file."""

from popreceipt.load import driving
from popreceipt.load.shapes import Course
from popreceipt.load.users import ImportProducer, StatusPoller

__all__ = ["Course", "ImportProducer", "StatusPoller"]

driving.drive("polling")

"""Import producers, and an administrator who watches the queue at the monitoring recurrence."""

from popreceipt.load import driving
from popreceipt.load.shapes import Course
from popreceipt.load.users import Administrator, ImportProducer

__all__ = ["Administrator", "Course", "ImportProducer"]

driving.drive("watching")

"""Protocol conformance and load testing for the recurring integrations of Dynamics 365 Finance + Operations."""

__version__ = "0.1.0"

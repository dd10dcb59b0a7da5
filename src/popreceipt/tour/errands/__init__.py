"""What a tour sees to on a real environment: every errand that the wire, and a person, can be asked for.

A module a theme. Here they are put in order: what needs no job, then imports, then exports, whose messages are the
dearest. Which of them can be run is not decided here.
"""

from popreceipt.tenants.description import Tenant
from popreceipt.tour.errand import Errand
from popreceipt.tour.errands.exports import exports
from popreceipt.tour.errands.identities import identities
from popreceipt.tour.errands.imports import imports
from popreceipt.tour.errands.in_order import in_order
from popreceipt.tour.errands.questions import questions

__all__ = ["errands"]


def errands(tenant: Tenant) -> tuple[Errand, ...]:
    """All errands for a tenant, also those that its description does not permit: they say what they need."""
    return (*identities(tenant), *questions(tenant), *in_order(tenant), *imports(tenant), *exports(tenant))

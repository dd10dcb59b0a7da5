"""Who may pass: the token, the two gates, and the caller's roles.

"Recurring integrations", section "Authorization for the integration REST API", and "Create a recurring data job": an
application must be known to the environment with a mapped user (service gate), and stand enabled on the policy of the
very job (job gate).
"""

from popreceipt.emulator.activity import Activity
from popreceipt.emulator.routes.call import Call

AUTHORISED = "authorised"
UNMAPPED = "unmapped"
ANONYMOUS = "anonymous"


def authenticate(call: Call) -> bool:
    """Whether the request carries a token that counts; the caller is noted, with the role."""
    emulator = call.emulator
    call.caller = caller = emulator.identity.check(call.request.header("authorization"), call.now)
    if caller is None:
        return False
    call.role = emulator.role(caller.client_id)
    return True


def role_of(call: Call) -> str | None:
    """The role of who called: known once the token was found good; without any token, anonymous."""
    if call.caller is not None:
        return call.role
    return ANONYMOUS if call.request.header("authorization") is None else None


def passes_service_gate(call: Call) -> bool:
    """Whether the caller's application is registered with a mapped user."""
    return call.role is not None and call.role != UNMAPPED


def passes_job_gate(call: Call, activity: Activity) -> bool:
    """Whether the caller's application stands enabled on the activity's policy."""
    return activity.enabled and call.role == AUTHORISED


def challenge(call: Call) -> tuple[str, str]:
    """The header of a 401."""
    emulator = call.emulator
    authority = f"{emulator.base_url}/{emulator.identity.tenant}/oauth2/authorize"
    return ("www-authenticate", f'Bearer authorization_uri="{authority}"')

"""Results as Allure reads them: each verdict a result of its own, scenarios with steps, load as metrics, and the page.

Identities do not follow from seeds, ports or instants, so that two runs can be held beside each other; what was said
on the wire comes from a journal, in which no secret stands; what is attached is bounded.
"""

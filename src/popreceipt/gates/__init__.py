"""Gates: whether a result may pass, beside what was accepted and seen before; and which of two is the slower one."""

"""The rehearsal: all that a tenant would see of a run, done to the emulator as a stranger first."""

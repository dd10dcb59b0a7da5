"""Speed beside peers: the emulator and two queue emulators that people use, under one client, in one run."""

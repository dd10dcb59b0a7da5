"""Load drivers beside one another: which of them tell the truth about a server that freezes, and what ours costs."""

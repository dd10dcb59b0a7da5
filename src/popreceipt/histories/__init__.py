"""What several callers saw of one service at once, judged as histories: did any order of things explain all of it?"""

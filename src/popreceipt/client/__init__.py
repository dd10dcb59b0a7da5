"""The client column: speaks to a target and writes down what was said.

It knows how requests look and how answers may be written; it does not know what a right answer is.
"""

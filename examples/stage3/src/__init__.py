"""Stage 3 of the storytelling pipeline: it turns what Stage 2 found into vectors, and says when it cannot.

It shares no code with Stage 2: the two know each other's events, and nothing else.
"""

"""Stage 2 of the storytelling pipeline: it reads stories, and tells the other stages by CloudEvents.

`stage2.events.publisher` stands on its own: any Python project can use it, with no more than pydantic and PyYAML.
"""

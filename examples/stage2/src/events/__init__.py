"""Telling the other stages: CloudEvents, published beside the work and never in its way.

`publisher` is all that an application needs. What it needs itself (a thread, a connection) is imported and started
with the first event that is published, and never where events are disabled.
"""

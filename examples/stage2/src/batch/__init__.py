"""Batches, and what other stages ask for: work for Celery."""

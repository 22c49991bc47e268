"""Publish a user's file once, under a source that is its identity."""

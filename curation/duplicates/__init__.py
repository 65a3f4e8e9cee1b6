"""Duplicates among traces and among problems: exact, near and semantic.

Groups are marked; which one of a group stays is decided by selection.
"""

"""Workers on several machines, through Ray.

The coordinator speaks with one process of its own, the driver; only that one knows Ray. A driver
dies with the head of its cluster: the coordinator then takes every worker for lost and starts
another driver as soon as the head is back.
"""

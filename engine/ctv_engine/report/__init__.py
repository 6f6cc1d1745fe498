"""Figures and pages for people who were not watching. Imports the store and stats, never torch."""

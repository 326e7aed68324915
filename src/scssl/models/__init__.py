"""Trained models: made, described, saved, moved to other cells. Importing it loads none of its parts."""

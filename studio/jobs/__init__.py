"""Runs in processes of their own: started, watched, queued and recovered, whatever tab or studio dies."""

"""Ranks: how they are started (threads, processes, MPI), given their task, listened to, and ended."""

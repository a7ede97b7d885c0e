"""Every operation: its forward and its gradient side by side, one file a family (`op.py` says what an operation is)."""

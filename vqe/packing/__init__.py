"""A tested run -> zips that can be handed in, each fact of them checked (`submission.py`)."""

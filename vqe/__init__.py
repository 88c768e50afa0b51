"""Video quality enhancement for video conferencing."""

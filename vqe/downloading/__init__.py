"""The challenge's archives and weights -> files and folders that are whole or absent."""

"""Videos and image folders in the challenge's layout -> frame folders and CSVs, a step a file."""

"""Config -> data, network and critics -> checkpoints, videos and metric CSVs."""

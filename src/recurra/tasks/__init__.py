"""Tasks: one file per job, from the user's files to a trained, evaluated run."""

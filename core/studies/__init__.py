"""Studies of several trainings: ablations and the claims of papers."""

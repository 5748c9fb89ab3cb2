"""Reports of finished trainings: measurements, retention cards and model cards."""

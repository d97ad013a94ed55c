"""What a run can be told: the schema, its validation, and composition by Hydra."""

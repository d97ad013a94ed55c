"""Configuration: the schema, the command line, validation, and composition by Hydra."""

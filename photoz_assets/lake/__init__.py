"""The lake: where tables lie, how they get there whole, and what they say of where they came from. No Dagster."""

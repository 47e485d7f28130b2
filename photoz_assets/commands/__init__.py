"""The command ``photoz``: what each of its subcommands does, and the instance of Dagster that they share."""

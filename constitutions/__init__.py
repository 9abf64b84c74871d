"""The shipped constitutions: YAML files beside this one, in the project's own words."""

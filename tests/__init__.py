"""Everything that is checked: unit, docker, e2e, and the images themselves."""

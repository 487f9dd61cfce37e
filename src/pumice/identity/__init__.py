"""Users, projects, roles and tokens of this installation: plain rows, and the rules that keep them honest."""

"""Floor 1: label mapping, feature mapping and group rankings for transfer learning."""
